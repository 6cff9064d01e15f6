//! `berth pam status`: which services have Berth's lines.

use std::path::Path;

use berth_config::Places;
use berth_protocol::OnError;
use berth_protocol::service::JOINED;
use serde_json::json;

use crate::exit::{Exit, not_so};
use crate::helper::{no_answer, unanswered};
use crate::json;
use crate::pam_stack::wiring::{Wiring, is_included};
use berth_config::pam_files::{Entry, Folders, entries};

pub fn run(root: &Path, services: &[String], as_json: bool) -> Result<Exit, Exit> {
    let (folders, list) = (&Folders::under(root), Places::under(root).exempt);
    let usual = usual(folders);
    let chosen = match services {
        [] => &usual[..],
        services => services,
    };
    let mut found = Vec::new();
    for service in chosen {
        match Wiring::of(folders, service) {
            // Not asked for by name.
            Ok(Wiring::Absent) if services.is_empty() => {}
            Ok(wiring) => found.push((service, wiring)),
            Err(error) => {
                return Err(not_so(format!(
                    "cannot read PAM's file of {service}: {error}"
                )));
            }
        }
    }
    if found.is_empty() {
        eprintln!("berth: PAM has no service there that logs people in");
    }
    if as_json {
        let services = found.iter().map(|(service, wiring)| {
            let (state, note) = words(wiring);
            json!({ "service": service, "state": state, "note": note, "right": wiring.is_right() })
        });
        json::print(json!({
            "services": services.collect::<Vec<_>>(),
            "no_answer": unanswered(&list).map(OnError::word),
        }))?;
    } else {
        let width = found.iter().map(|(service, _)| service.len()).max();
        let width = width.unwrap_or_default().max("SERVICE".len());
        println!("{:width$}  PAM_BERTH", "SERVICE");
        for (service, wiring) in &found {
            let (state, note) = words(wiring);
            let note = note.map_or(String::new(), |note| format!(": {note}"));
            println!("{service:width$}  {state}{note}");
        }
        if found.iter().any(|(_, wiring)| wiring.is_right()) {
            println!("A login whose helper gives no answer {}.", no_answer(&list));
        }
    }
    Ok(match found.iter().all(|(_, wiring)| wiring.is_right()) {
        true if !found.is_empty() => Exit::Done,
        _ => Exit::NotSo,
    })
}

fn words(wiring: &Wiring) -> (&'static str, Option<String>) {
    match wiring {
        Wiring::Enabled => ("enabled", None),
        Wiring::Through(other) => ("enabled", Some(format!("by {other}, which it includes"))),
        Wiring::ByHand => ("enabled", Some("by lines of somebody's own".into())),
        Wiring::Wrong(why) => ("wrong", Some(why.to_string())),
        Wiring::Disabled => ("disabled", None),
        Wiring::Never(why) => ("never", Some((*why).into())),
        Wiring::Absent => ("absent", Some("no such service here".into())),
    }
}

/// Those that log people in, and whatever else has lines of Berth's.
fn usual(folders: &Folders) -> Vec<String> {
    let has_lines = |name: &String| {
        let text = folders.read(name).map_or(String::new(), |(_, text)| text);
        entries(name, &text).0.iter().any(Entry::is_berth)
    };
    let mut others = folders.names();
    others.retain(|name| !JOINED.contains(&&**name) && !is_included(name) && has_lines(name));
    JOINED.map(String::from).into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_service_that_has_berths_lines_is_shown_whatever_it_is() {
        let folder = Folder::new();
        let lines = "account required pam_berth.so\nsession required pam_berth.so\n";
        for (name, text) in [
            ("sshd", lines),
            ("systemd-user", lines),
            ("common-session", lines),
            ("sudo", "session required pam_unix.so # pam_berth.so\n"),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let shown = usual(&Folders::from(&*folder));
        let others: Vec<&String> = shown.iter().skip(JOINED.len()).collect();
        assert_eq!(others, ["systemd-user"]);
    }
}
