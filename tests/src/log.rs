//! The test's own system log: a socket at /dev/log that remembers every line.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

/// Every line that was logged so far.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// Starts to listen.
    pub fn open() -> Log {
        let socket = UnixDatagram::bind("/dev/log").expect("bind /dev/log");
        std::fs::set_permissions("/dev/log", std::fs::Permissions::from_mode(0o666))
            .expect("open /dev/log to all");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(length) = socket.recv(&mut buffer) {
                let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
                sink.lock().expect("log").push(line);
            }
        });
        Log { lines }
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("log").clone()
    }
}
