//! What is due each minute: exceptions that end, windows of time, and penalties (`berth apply --due`).

use berth_session::systemd::{Bus, is_booted};

/// What starts it where systemd runs the machine; elsewhere cron does.
const TIMER: &str = "berth-due.timer";

/// After a boot the timer runs by itself; from an installation to the next boot, from here on.
pub fn start_the_timer() {
    if is_booted().unwrap_or(true) {
        if let Err(error) = Bus::connect().and_then(|mut bus| bus.start(TIMER)) {
            eprintln!(
                "berth: {error}\nberth: what time brings waits for `berth apply --due`, or for the next boot"
            );
        }
    }
}
