//! Records under /run/berth, and lines of the accounting file.

use berth_session::{Entry, Record};

/// One record or one line.
pub fn run(input: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(input) {
        let text = serde_json::to_vec(&record).expect("a record");
        let again: Record = serde_json::from_slice(&text).expect("a record again");
        assert_eq!(again, record);
        // A path is made of the id: it is one name, and no other folder's.
        let path = Record::path(record.id);
        let folder = std::path::Path::new(berth_session::RECORDS);
        assert_eq!(path.parent(), Some(folder));
        let usage = berth_session::Usage::default();
        let entry = Entry::new(&record, [String::new(), String::new()], 1, &usage);
        let line = serde_json::to_string(&entry).expect("a line");
        // A line of the accounting file is one line, and never too long to be read again.
        assert!(!line.contains('\n') && line.len() < 64 << 10);
        assert_eq!(serde_json::from_str::<Entry<'_>>(&line).expect("it"), entry);
    }
    if let Ok(entry) = serde_json::from_slice::<Entry<'_>>(input) {
        let line = serde_json::to_string(&entry).expect("a line");
        assert_eq!(serde_json::from_str::<Entry<'_>>(&line).expect("it"), entry);
    }
}
