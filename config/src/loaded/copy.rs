//! The file of a loaded policy, laid out so that a login reads a few pages of it, however many rules there are.
//!
//! It begins with a line of JSON, the head: everything but rules and expectations. Behind it stand pages, which are JSON
//! too: one for each rule that has keys ([`crate::index`]); buckets of keys, each with the places of its rules; one of
//! all rules without keys, and one of expectations; and last the directory, the places of the buckets. A key's bucket
//! follows from its checksum, as in D. J. Bernstein's cdb.
//!
//! Each part carries its own checksum, with its name and the policy's in it. So a place that is wrong is found out as
//! damage is, also where it has what stood there in an older copy; and a damaged copy is as good as none.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Stamp;
use crate::contents::Contents;
use crate::index::{self, Key};
use crate::tables::{Expect, Rule};

/// Counts changes of what is in a copy, new keys too: who does not know one would pass over it. A copy outlives an upgrade
/// that changes nothing of it, and an edit counts by a reload alone.
pub(super) const FORMAT: u32 = 3;

/// Read at once when a copy is opened: all of it, for most policies.
pub(super) const START: usize = 64 << 10;

/// No head is longer.
const LONGEST_HEAD: usize = 16 << 20;

/// Digits of a page's checksum: against damage only, since none but root writes it.
const CHECK: usize = 16;

/// Digits of an entry of the directory: where, and how long.
const ENTRY: u64 = 32;

/// A part of the file, from the end of the head.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Place(u64, u64);

#[derive(Serialize, Deserialize)]
struct Envelope<H> {
    format: u32,
    /// Seconds since 1970.
    loaded: u64,
    /// Of all that the policy says.
    sha256: String,
    /// Of the head and both of these.
    check: String,
    head: H,
}

/// All of a policy but its rules and expectations, and where those are.
#[derive(Serialize, Deserialize)]
struct Head {
    contents: Contents,
    names: Vec<String>,
    sources: Vec<Stamp>,
    pages: Pages,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pages {
    rules: usize,
    buckets: u64,
    directory: u64,
    others: Place,
    expects: Place,
}

/// Keys and where their rules are.
type Bucket<K> = Vec<(K, Vec<(usize, Place)>)>;

/// A copy that is open. What replaces it does not change it.
#[derive(Debug)]
pub(super) struct Copy {
    /// None where all of it was read.
    file: Option<File>,
    length: u64,
    /// What was read of the file.
    start: Vec<u8>,
    /// Where pages begin.
    data: u64,
    pages: Pages,
    /// The policy's.
    pub(super) sha256: String,
}

/// What a head says.
pub(super) struct Opened {
    /// Where the rest is.
    pub(super) copy: Copy,
    /// Without rules and expectations.
    pub(super) contents: Contents,
    pub(super) names: Vec<String>,
    pub(super) sources: Vec<Stamp>,
    /// Seconds since 1970.
    pub(super) loaded: u64,
}

/// The text of a copy.
pub(super) fn encode(
    contents: &Contents,
    names: &[String],
    sources: Vec<Stamp>,
    loaded: u64,
) -> Result<String, serde_json::Error> {
    let sha256 = super::sha256(serde_json::to_string(&(contents, names, &sources))?.as_bytes());
    let mut head = contents.clone();
    let rules = std::mem::take(&mut head.rules);
    let (data, pages) = encode_pages(&rules, &head.expects.take(), &sha256)?;
    let head = serde_json::to_string(&Head {
        contents: head,
        names: names.to_vec(),
        sources,
        pages,
    })?;
    let envelope = serde_json::to_string(&Envelope {
        format: FORMAT,
        loaded,
        check: check_of_head(loaded, &sha256, &head),
        sha256,
        head: RawValue::from_string(head)?,
    })?;
    Ok(envelope + "\n" + &data)
}

fn encode_pages(
    rules: &[Rule],
    expects: &Option<Vec<Expect>>,
    sha256: &str,
) -> Result<(String, Pages), serde_json::Error> {
    let mut data = Data {
        text: String::new(),
        sha256,
    };
    let mut by_key: HashMap<Key, Vec<usize>> = HashMap::new();
    let mut others = Vec::new();
    let mut places = BTreeMap::new();
    for (number, rule) in rules.iter().enumerate() {
        match index::keys_of(rule) {
            Some(keys) => {
                places.insert(number, data.add(&of_rule(number), rule)?);
                for key in keys {
                    by_key.entry(key).or_default().push(number);
                }
            }
            None => others.push((number, rule)),
        }
    }
    let keys = by_key.len() as u64;
    // A few keys in each.
    let buckets = (keys / 4).next_power_of_two();
    let mut filled: BTreeMap<u64, Bucket<&Key>> = BTreeMap::new();
    for (key, numbers) in &by_key {
        let placed = numbers.iter();
        let placed = placed.filter_map(|number| Some((*number, *places.get(number)?)));
        let bucket = filled.entry(bucket_of(key, buckets)).or_default();
        bucket.push((key, placed.collect()));
    }
    let mut directory = String::new();
    for number in 0..buckets {
        let mut bucket = filled.remove(&number).unwrap_or_default();
        // The same policy makes the same copy.
        bucket.sort_by_key(|(key, _)| *key);
        let Place(at, length) = data.add(&of_bucket(number), &bucket)?;
        directory += &format!("{at:016x}{length:016x}");
    }
    let mut pages = Pages {
        rules: rules.len(),
        buckets,
        directory: 0,
        others: data.add("others", &others)?,
        expects: data.add("expects", expects)?,
    };
    pages.directory = data.text.len() as u64;
    Ok((data.text + &directory, pages))
}

fn of_rule(number: usize) -> String {
    format!("rule {number}")
}

fn of_bucket(number: u64) -> String {
    format!("bucket {number}")
}

/// The pages of a policy.
struct Data<'p> {
    text: String,
    sha256: &'p str,
}

impl Data<'_> {
    fn add(&mut self, name: &str, page: &impl Serialize) -> Result<Place, serde_json::Error> {
        let text = serde_json::to_string(page)?;
        let at = self.text.len() as u64;
        self.text.push_str(&check(self.sha256, name, &text));
        self.text.push_str(&text);
        self.text.push('\n');
        Ok(Place(at, (CHECK + text.len()) as u64))
    }
}

/// The checksum of a policy's page under its name.
fn check(sha256: &str, name: &str, text: &str) -> String {
    let mut sum = super::sha256(format!("{sha256} {name}\n{text}").as_bytes());
    sum.truncate(CHECK);
    sum
}

fn check_of_head(loaded: u64, sha256: &str, head: &str) -> String {
    super::sha256(format!("{loaded} {sha256}\n{head}").as_bytes())
}

fn bucket_of(key: &str, buckets: u64) -> u64 {
    let digest = Sha256::digest(key.as_bytes());
    let number = digest.iter().take(8);
    let number = number.fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    number.checked_rem(buckets).unwrap_or(0)
}

/// The beginning of a file, at least to the end of its first line, and where that is.
fn with_head(file: &File, whole: usize, start: usize) -> Option<(Vec<u8>, usize)> {
    let (mut bytes, mut wanted) = (Vec::new(), start.clamp(1, LONGEST_HEAD).min(whole));
    loop {
        let had = bytes.len();
        bytes.resize(wanted, 0);
        let new = bytes.get_mut(had..)?;
        file.read_exact_at(new, had as u64).ok()?;
        if let Some(at) = new.iter().position(|byte| *byte == b'\n') {
            return Some((bytes, had + at));
        }
        if wanted == whole || wanted > LONGEST_HEAD {
            return None;
        }
        wanted = wanted.saturating_mul(4).min(whole);
    }
}

/// A head, when it was loaded, and the checksum of the policy.
fn head(line: &str) -> Option<(Head, u64, String)> {
    let envelope: Envelope<&RawValue> = serde_json::from_str(line).ok()?;
    let text = envelope.head.get();
    let check = check_of_head(envelope.loaded, &envelope.sha256, text);
    if envelope.format != FORMAT || check != envelope.check {
        return None;
    }
    let head = serde_json::from_str(text).ok()?;
    Some((head, envelope.loaded, envelope.sha256))
}

impl Copy {
    /// Opens a copy for a login, and reads so much of it at once; `None` if it is damaged, or of another format.
    pub(super) fn open(file: File, start: usize) -> Option<Opened> {
        let length = file.metadata().ok()?.len();
        let (start, end) = with_head(&file, usize::try_from(length).ok()?, start)?;
        Copy::with(Some(file), length, start, end)
    }

    /// A copy that was read whole.
    pub(super) fn read(text: String) -> Option<Opened> {
        let end = text.find('\n')?;
        Copy::with(None, text.len() as u64, text.into_bytes(), end)
    }

    fn with(file: Option<File>, length: u64, start: Vec<u8>, end: usize) -> Option<Opened> {
        let line = std::str::from_utf8(start.get(..end)?).ok()?;
        let (head, loaded, sha256) = head(line)?;
        Some(Opened {
            copy: Copy {
                file,
                length,
                start,
                data: end as u64 + 1,
                pages: head.pages,
                sha256,
            },
            contents: head.contents,
            names: head.names,
            sources: head.sources,
            loaded,
        })
    }

    /// The rules that a login with these keys may match, in order; `None` if the copy is damaged.
    pub(super) fn rules_for(&self, keys: &[Key]) -> Option<Vec<Rule>> {
        let mut rules = self.others()?;
        for key in keys {
            let bucket = self.bucket(bucket_of(key, self.pages.buckets))?;
            let placed = bucket.into_iter().find(|(known, _)| known == key);
            self.add_rules(
                &mut rules,
                placed.map(|(_, placed)| placed).unwrap_or_default(),
            )?;
        }
        Some(rules.into_values().collect())
    }

    /// All rules, in order; `None` if the copy is damaged.
    pub(super) fn rules(&self) -> Option<Vec<Rule>> {
        let mut rules = self.others()?;
        for number in 0..self.pages.buckets {
            for (_, placed) in self.bucket(number)? {
                self.add_rules(&mut rules, placed)?;
            }
        }
        (rules.len() == self.pages.rules).then(|| rules.into_values().collect())
    }

    /// The policy's expectations.
    pub(super) fn expects(&self) -> Option<Option<Vec<Expect>>> {
        self.page("expects", self.pages.expects)
    }

    fn others(&self) -> Option<BTreeMap<usize, Rule>> {
        let others: Vec<(usize, Rule)> = self.page("others", self.pages.others)?;
        Some(others.into_iter().collect())
    }

    fn add_rules(
        &self,
        rules: &mut BTreeMap<usize, Rule>,
        placed: Vec<(usize, Place)>,
    ) -> Option<()> {
        for (number, place) in placed {
            if let Entry::Vacant(new) = rules.entry(number) {
                new.insert(self.page(&of_rule(number), place)?);
            }
        }
        Some(())
    }

    fn bucket(&self, number: u64) -> Option<Bucket<Key>> {
        let at = self
            .pages
            .directory
            .checked_add(number.checked_mul(ENTRY)?)?;
        let entry = self.text(Place(at, ENTRY))?;
        let (at, length) = entry.split_at_checked(entry.len() / 2)?;
        let digits = |digits| u64::from_str_radix(digits, 16).ok();
        self.page(&of_bucket(number), Place(digits(at)?, digits(length)?))
    }

    fn page<P: DeserializeOwned>(&self, name: &str, place: Place) -> Option<P> {
        let text = self.text(place)?;
        let (sum, page) = text.split_at_checked(CHECK)?;
        if check(&self.sha256, name, page) != sum {
            return None;
        }
        serde_json::from_str(page).ok()
    }

    /// What stands at a place: from what was read already, or from the file.
    fn text(&self, Place(at, length): Place) -> Option<Cow<'_, str>> {
        let from = self.data.checked_add(at)?;
        let to = from.checked_add(length).filter(|to| *to <= self.length)?;
        let (first, last) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
        if let Some(read) = self.start.get(first..last) {
            return std::str::from_utf8(read).ok().map(Cow::from);
        }
        let mut bytes = vec![0; last.checked_sub(first)?];
        self.file.as_ref()?.read_exact_at(&mut bytes, from).ok()?;
        String::from_utf8(bytes).ok().map(Cow::from)
    }
}
