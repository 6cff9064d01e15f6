//! Profiles laid over one another: a list of them, and what each inherits.

use std::collections::{BTreeSet, HashMap};

use crate::contents::Contents;
use crate::tables::{Profile, Rule};
use crate::value::Name;

impl Contents {
    /// The profiles that a rule gives, as one.
    pub(crate) fn profile_of(&self, rule: &Rule) -> Profile {
        self.merged(rule.profiles().iter().map(|profile| &profile.name))
    }

    /// The profiles as one: left to right, the later wins, key by key. A profile's own keys win
    /// over what it inherits.
    pub(crate) fn merged<'n, N>(&self, names: N) -> Profile
    where
        N: IntoIterator<Item = &'n Name>,
        N::IntoIter: DoubleEndedIterator,
    {
        let mut merged = Profile::default();
        for (_, profile) in self.with_inherited(names).into_iter().rev() {
            merged.overlay(profile);
        }
        merged
    }

    /// Each profile and all that it inherits as one, as [`Contents::merged`] makes it. For all of a long line together that
    /// takes as long as the line, and without recursion.
    pub(crate) fn resolved(&self) -> HashMap<&Name, Profile> {
        let mut resolved: HashMap<&Name, Profile> = HashMap::new();
        let mut begun = BTreeSet::new();
        for name in self.profiles.keys() {
            let mut path = vec![name];
            while let Some((name, named)) = path
                .last()
                .and_then(|name| self.profiles.get_key_value(*name))
            {
                let inherits = named.table.inherits().iter().map(|one| &one.name);
                let inherits = inherits.filter(|name| self.profiles.contains_key(*name));
                if begun.insert(name) {
                    path.extend(inherits.filter(|name| !begun.contains(name)));
                    continue;
                }
                path.pop();
                if !resolved.contains_key(name) {
                    let mut merged = Profile::default();
                    let inherited = inherits.filter_map(|name| resolved.get(name));
                    inherited.for_each(|inherited| merged.overlay(inherited));
                    merged.overlay(&named.table);
                    resolved.insert(name, merged);
                }
            }
        }
        resolved
    }

    /// The profiles and all that they inherit, from the one that wins down. One that comes again would be laid under
    /// itself: so each is there once, in however many ways it is inherited, and a cycle, an error of the check's, ends.
    pub(crate) fn with_inherited<'n, N>(&self, names: N) -> Vec<(&Name, &Profile)>
    where
        N: IntoIterator<Item = &'n Name>,
        N::IntoIter: DoubleEndedIterator,
    {
        let mut line = Vec::new();
        let mut reached = BTreeSet::new();
        for name in names.into_iter().rev() {
            let mut next = Vec::from_iter(self.profiles.get_key_value(name));
            while let Some((name, profile)) = next.pop() {
                if reached.insert(name) {
                    line.push((name, &profile.table));
                    let inherited = profile.table.inherits().iter();
                    next.extend(inherited.filter_map(|one| self.profiles.get_key_value(&one.name)));
                }
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use crate::source::Source;

    #[test]
    fn all_profiles_at_once_are_what_each_is_by_itself() {
        let inherits = [
            ("a", ""),
            ("b", "\"a\""),
            ("c", "\"a\""),
            ("d", "\"b\", \"c\""),
            ("e", "\"c\", \"b\", \"a\""),
            ("f", "\"e\", \"d\""),
            ("0", "\"f\""),
        ];
        let profiles = inherits.iter().zip(9..).map(|((name, inherits), number)| {
            let own =
                format!("session = {{ tasks_max = {number} }}\nrlimits = {{ core = {number} }}");
            let kept = match *name {
                "a" | "c" => format!("user = {{ tasks_max = {number} }}"),
                "b" => "user = { tasks_max = \"unset\", io_weight = 5 }".into(),
                _ => String::new(),
            };
            format!("[profile.{name}]\ninherits = [{inherits}]\n{own}\n{kept}\n")
        });
        let text = format!("version = 1\n{}", profiles.collect::<String>());
        let source = Source::new("policy.toml".into(), text);
        let policy = crate::checked::sources_checked(vec![source], None).policy;
        let contents = policy.expect("a policy without errors").contents;
        let resolved = contents.resolved();
        assert_eq!(resolved.len(), inherits.len());
        for (name, profile) in resolved {
            assert_eq!(profile, contents.merged([name]), "{name}");
        }
    }
}
