//! What a user is shown of themselves.

use berth_config::counted;
use berth_session::{Group, Record, Tree};
use serde_json::json;

use super::page::Page;
use crate::caller;
use crate::exit::Exit;
use crate::figures::Figures;
use crate::object::Object;
use crate::own_sessions::{self, Own};
use crate::penalties;

/// Shows the calling user, or one of their sessions.
pub fn show(object: Option<&Object>, tree: Option<&Tree>, as_json: bool) -> Result<Exit, Exit> {
    let (uid, name) = caller::user();
    if let Some(Object::Session(id)) = object {
        // Their own record is theirs to read, and no other.
        if let Some(record) = Record::read(*id).ok().filter(|record| record.uid == uid) {
            return Page::of_session(&record, tree).print(as_json);
        }
    }
    let refused = |why: &str| Exit::Permission.because(why);
    let Some((tree, user)) = own_sessions::group(tree) else {
        return Err(refused(
            "you have no cgroup of Berth's here; of what else there is, only root can see more",
        ));
    };
    let sessions = own_sessions::sessions(tree, &user);
    let page = match object {
        None => of_user(&name, uid, &user, &sessions, tree),
        Some(Object::User(other)) if *other == name => of_user(&name, uid, &user, &sessions, tree),
        Some(Object::Session(id)) => match sessions.iter().find(|own| own.id == Some(*id)) {
            Some(own) => of_session(own, &name, uid, tree),
            None => return Err(refused("only root may see sessions of others")),
        },
        Some(_) => return Err(refused("only root may see other users")),
    };
    page.print(as_json)
}

fn of_user(name: &str, uid: u32, user: &Group, sessions: &[Own], tree: &Tree) -> Page {
    let groups: Vec<_> = sessions.iter().map(|own| Some(own.group.clone())).collect();
    let (figures, of_sessions) = Figures::of_users(Some(tree), &[Some(user.clone())], &groups);
    let figures = figures.into_iter().next().unwrap_or_default();
    let this = std::process::id().try_into().unwrap_or(0);
    let both = sessions.iter().zip(&of_sessions);
    let lines = both.clone().map(|(own, figures)| {
        let mut parts = Vec::new();
        parts.extend(figures.usage.tasks.map(|tasks| counted(tasks, "task")));
        if tree.is_in(this, &own.group) {
            parts.push("this one".into());
        }
        format!("{:<3} {}", own.name(), parts.join(", "))
            .trim_end()
            .to_owned()
    });
    let (penalty, standing) = penalties::shown::to_user(name, uid);
    Page {
        title: format!("{name} ({uid})"),
        penalty,
        cgroup: Some(tree.below(user)),
        sessions: lines.collect(),
        object: json!({
            "user": name,
            "uid": uid,
            "penalty": standing,
            "sessions": both
                .map(|(own, figures)| own.object(tree, figures))
                .collect::<Vec<_>>(),
        }),
        figures,
        ..Page::default()
    }
}

fn of_session(own: &Own, name: &str, uid: u32, tree: &Tree) -> Page {
    Page {
        title: format!("session {} of {name} ({uid})", own.name()),
        cgroup: Some(tree.below(&own.group)),
        object: json!({ "session": own.id, "user": name, "uid": uid }),
        figures: Figures::of_one(Some(own.group.clone())),
        ..Page::default()
    }
}
