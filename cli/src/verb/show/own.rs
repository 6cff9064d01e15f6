//! What a user is shown of themselves. Records are root's, so this is what the cgroups say: the
//! kernel lets everybody read those.

use std::fs;

use berth_config::own_name;
use berth_session::{Group, SessionId, Tree};
use serde_json::json;

use super::page::{Page, counted_tasks, tasks_max};
use crate::exit::Exit;
use crate::live::{Figures, Object, path};

/// Shows the calling user, or one of their sessions.
pub fn show(object: Option<&Object>, tree: Option<&Tree>, as_json: bool) -> Result<Exit, Exit> {
    let uid = nix::unistd::getuid().as_raw();
    // Not as sudo or $USER say.
    let name = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    let name = name.map(|user| user.name).or_else(own_name);
    let name = name.unwrap_or_else(|| uid.to_string());
    let refused = |why: &str| {
        eprintln!("berth: {why}");
        Exit::Permission
    };
    let Some((tree, user)) = tree
        .map(|tree| (tree, tree.user(uid)))
        .filter(|(_, user)| user.exists())
    else {
        return Err(refused(
            "you have no cgroup of Berth's here; of what else there is, only root can see more",
        ));
    };
    let sessions = sessions(&user);
    let page = match object {
        None => of_user(&name, uid, &user, &sessions, tree),
        Some(Object::User(other)) if *other == name => of_user(&name, uid, &user, &sessions, tree),
        Some(Object::Session(id)) => match sessions.iter().find(|(own, _)| own == id) {
            Some((_, group)) => of_session(*id, &name, uid, group, tree),
            None => return Err(refused("only root may see sessions of others")),
        },
        Some(Object::User(_) | Object::Pool(_)) => {
            return Err(refused("only root may see other users"));
        }
    };
    page.print(as_json);
    Ok(Exit::Done)
}

/// The user's sessions that have a cgroup.
fn sessions(user: &Group) -> Vec<(SessionId, Group)> {
    let parts = ["sessions", "rescue"].map(|part| user.child(part));
    let mut all: Vec<_> = parts
        .iter()
        .flat_map(|part| {
            let entries = fs::read_dir(part.path()).into_iter().flatten().flatten();
            entries.filter_map(|entry| {
                let name = entry.file_name();
                let id = name.to_str()?.parse().ok()?;
                Some((id, part.child(name.to_str()?)))
            })
        })
        .collect();
    all.sort_by_key(|(id, _)| *id);
    all
}

fn of_user(
    name: &str,
    uid: u32,
    user: &Group,
    sessions: &[(SessionId, Group)],
    tree: &Tree,
) -> Page {
    let mut groups = vec![Some(user.clone())];
    groups.extend(sessions.iter().map(|(_, group)| Some(group.clone())));
    let mut figures = Figures::of(&groups);
    let of_sessions = figures.split_off(1);
    let mut figures = figures.pop().unwrap_or_default();
    figures.limits.tasks = tasks_max(user);
    let here = tree.of_process(std::process::id().try_into().unwrap_or(0));
    let both = sessions.iter().zip(&of_sessions);
    let lines = both.clone().map(|((id, group), figures)| {
        let mut parts = Vec::new();
        parts.extend(figures.usage.tasks.map(counted_tasks));
        if here.as_ref() == Some(group) {
            parts.push("this one".into());
        }
        format!("{id:<3} {}", parts.join(", "))
            .trim_end()
            .to_owned()
    });
    Page {
        title: format!("{name} ({uid})"),
        cgroup: Some(tree.below(user)),
        sessions: lines.collect(),
        object: json!({
            "user": name,
            "uid": uid,
            "sessions": both
                .map(|((id, group), figures)| {
                    let mut object = figures.object();
                    if let Some(object) = object.as_object_mut() {
                        object.insert("session".into(), json!(id));
                        object.insert("cgroup".into(), json!(path(&tree.below(group))));
                    }
                    object
                })
                .collect::<Vec<_>>(),
        }),
        figures,
        ..Page::default()
    }
}

fn of_session(id: SessionId, name: &str, uid: u32, group: &Group, tree: &Tree) -> Page {
    Page {
        title: format!("session {id} of {name} ({uid})"),
        cgroup: Some(tree.below(group)),
        object: json!({ "session": id, "user": name, "uid": uid }),
        figures: Figures::of(&[Some(group.clone())])
            .pop()
            .unwrap_or_default(),
        ..Page::default()
    }
}
