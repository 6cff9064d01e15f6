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
    if let Ok(all) = Exceptions::of(exceptions.clone()) {
        assert_eq!(all.list(), exceptions);
        let _ = all.check(&crate::policy::machine());
        // Each is taken alone, too: none hides behind another.
        for one in exceptions {
            let _ = one.until_text();
            assert!(Exceptions::of(vec![one.clone()]).is_ok(), "{one:?}");
        }
    }
}
