//! memory_min and memory_low of cgroups with several users: the sum of what those below have, unless the policy gives them
//! a value of their own.

use crate::{Backend, Group, Result, Tree};

/// Where it stands.
pub const PROTECTION: [&str; 2] = ["memory.min", "memory.low"];

/// How often another login or logout may come in between.
const TRIES: usize = 100;

/// What the cgroups below have of this together, as the kernel takes it.
fn sum(group: &Group, file: &str) -> String {
    let mut sum = 0_u64;
    for user in group.children() {
        // A cgroup that is being removed no longer counts.
        let value = user.read(file).unwrap_or_default();
        match value.trim() {
            "max" => return "max".into(),
            value => sum = sum.saturating_add(value.parse().unwrap_or_default()),
        }
    }
    sum.to_string()
}

/// Gives a cgroup what those below have together.
pub fn cover(group: &Group, file: &str) -> Result<()> {
    // Two first logins may each have missed the other's value: whoever writes last looks again.
    for _ in 0..TRIES {
        let sum = sum(group, file);
        if group.read(file)?.trim() == sum {
            break;
        }
        group.write(file, &sum)?;
    }
    Ok(())
}

/// Cgroups that have just what those below have together. Which value is the policy's own nobody who cleans up knows; one
/// that is the same by chance is set again by the next login.
#[derive(Debug)]
pub struct Covers(Vec<(Group, &'static str)>);

impl Covers {
    /// Of those that a user's cgroup is in. Where systemd has the cgroups Berth gives none of them a sum.
    pub fn above(tree: &Tree, uid: u32) -> Result<Covers> {
        if tree.backend() == Backend::Systemd {
            return Ok(Covers(Vec::new()));
        }
        let user = tree.user(uid)?;
        let above = tree.line_to(&user).into_iter().rev().skip(1);
        Ok(Covers::among(&above.collect::<Vec<_>>()))
    }

    /// Of these, the innermost first.
    fn among(groups: &[Group]) -> Covers {
        let all = groups
            .iter()
            .flat_map(|group| PROTECTION.map(|file| (group.clone(), file)));
        let covers = all.filter(|(group, file)| {
            let value = group.read(file).unwrap_or_default();
            let value = value.trim();
            !matches!(value, "" | "0") && value == sum(group, file)
        });
        Covers(covers.collect())
    }

    /// Has them cover what is left.
    pub fn follow(&self) -> Result<()> {
        let mut left = self.0.iter().filter(|(group, _)| group.exists());
        left.try_for_each(|(group, file)| cover(group, file))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn with_a_user_goes_what_protected_them_above_and_not_what_the_policy_says() {
        let base = Folder::new();
        let root = Group::from(base.to_path_buf());
        let pool = root.child("pool");
        let write = |group: &Group, file: &str, value: &str| {
            fs::create_dir_all(group.path()).unwrap();
            fs::write(group.path().join(file), value).unwrap();
        };
        let has = |group: &Group, file: &str| group.read(file).unwrap().trim().to_owned();
        for (user, low) in [("a", "15\n"), ("b", "27\n")] {
            write(&pool.child(user), "memory.low", low);
            write(&pool.child(user), "memory.min", low);
        }
        for (group, low, min) in [(&pool, "42\n", "9\n"), (&root, "42\n", "0\n")] {
            write(group, "memory.low", low);
            write(group, "memory.min", min);
        }
        let covers = Covers::among(&[pool.clone(), root.clone()]);
        fs::remove_dir_all(pool.child("b").path()).unwrap();
        covers.follow().unwrap();
        assert_eq!(
            [&pool, &root].map(|group| has(group, "memory.low")),
            ["15", "15"]
        );
        assert_eq!(
            [&pool, &root].map(|group| has(group, "memory.min")),
            ["9", "0"]
        );
    }
}
