//! Who gets something else by an edit.

use berth_config::{Places, Policy, untried};

use crate::place;
use crate::readable::named;
use crate::verb::diff::{Change, differing, indented};

/// Prints it, those together for whom the same changes, against the policy in force.
pub fn print(places: &Places, new: &Policy) {
    let old = Policy::load_in(places).map_err(|error| error.to_string());
    let machine = place::machine().map_err(|error| error.to_string());
    let accounts = place::accounts().map_err(str::to_owned);
    let (old, machine, accounts) = match (old, machine, accounts) {
        (Ok(old), Ok(machine), Ok(accounts)) => (old, machine, accounts),
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
            println!("who gets something else is not known: {error}");
            return;
        }
    };
    let differing = differing([&old, new], &accounts, &machine);
    let mut groups: Vec<(&[Change], Vec<&str>)> = Vec::new();
    for (account, changes) in &differing {
        match groups.iter_mut().find(|(same, _)| *same == &changes[..]) {
            Some((_, users)) => users.push(&account.user),
            None => groups.push((changes, vec![&account.user])),
        }
    }
    for (changes, users) in groups {
        println!("{}", named(&users));
        for line in indented(changes) {
            println!("{line}");
        }
    }
    println!(
        "{} of {} users get something else{}",
        differing.len(),
        accounts.len(),
        untried(&[&old, new])
    );
}
