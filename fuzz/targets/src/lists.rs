//! Plain lists of ours and of the machine: who is exempt, and what an admin's exceptions are.

use berth_config::{Exception, Exceptions};
use berth_protocol::OnError;
use berth_protocol::exempt::Exempt;

use crate::input;

/// The list as `berth reload` writes it; or a cap as `berth set` takes it, in each line.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    let exempt = Exempt::parse(&text);
    assert_eq!(Exempt::parse(&exempt.render(OnError::Allow)), exempt);
    // Whatever the list says.
    assert!(exempt.covers(b"root"));

    let parsed = text
        .lines()
        .filter_map(|line| berth_config::parse_exception(line).ok());
    let exceptions: Vec<Exception> = parsed
        .take(8)
        .map(|(key, value)| Exception {
            user: None,
            key,
            value,
            until: u64::MAX,
            by: "root".into(),
            reason: None,
            is_taken_back: false,
        })
        .collect();
    let count = exceptions.len();
    if let Ok(exceptions) = Exceptions::of(exceptions) {
        assert_eq!(exceptions.list().len(), count);
        let _ = exceptions.check(&crate::policy::machine());
    }
    // One that is taken is taken alone, too: none hides behind another.
    for one in Exceptions::of(Vec::new())
        .iter()
        .flat_map(|none| none.list())
    {
        let _ = one.until_text();
    }
}
