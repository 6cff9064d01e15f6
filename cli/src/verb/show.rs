//! `berth show`: one session, user, pool or profile in full.

use crate::caller;
use crate::exit::Exit;
use crate::live::{self, Sessions};
use crate::object::Object;

mod lines;
mod own;
mod page;

use page::Page;

#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Exit status: 0 shown; 1 there is no such session, or the user has none; 4 only root may
see it; 5 a session's record could not be read.

OBJECT is a session, as in 12, a user, as in alice or user:alice, a pool, as in
pool:cs101, or a profile, as in profile:student. Without one, you see yourself. Users other
than root see what the kernel says of their own cgroup. Bars are shares of a cap; lines of
which nothing is known are left out.")]
pub struct Arguments {
    /// A session, a user, a pool or a profile; by default, you
    object: Option<Object>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let tree = live::tree()?;
    if !caller::is_root() {
        return own::show(arguments.object.as_ref(), tree.as_ref(), arguments.json);
    }
    let object = match &arguments.object {
        Some(object) => object.clone(),
        None => Object::User(
            berth_config::own_name()
                .ok_or_else(|| Exit::Usage.because("name a user: who you are is not known here"))?,
        ),
    };
    let (records, exit) = Sessions::tell()?.of(&object)?;
    let first = records.first().ok_or(Exit::NotSo)?;
    let page = match &object {
        Object::Session(_) => Page::of_session(first, tree.as_ref()),
        Object::User(name) => Page::of_user(name, first, &records, tree.as_ref()),
        Object::Pool(name) => Page::of_pool(name, &records, tree.as_ref()),
        Object::Profile(name) => Page::of_profile(name, &records, tree.as_ref()),
    };
    page.print(arguments.json)?;
    Ok(exit)
}
