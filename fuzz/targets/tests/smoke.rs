//! The committed corpora, and mutations of them, through the targets, on any compiler: what a minute of fuzzing would
//! find at once. It is the same each time; `fuzz/run` looks further.

use std::path::Path;

use berth_fuzz_targets::{TARGETS, is_message, is_policy, joins};

/// How many mutations of the inputs of one target.
const MUTATIONS: usize = 2000;

/// No input is longer.
const LONGEST: usize = 8192;

/// Numbers that look like chance and are the same each time (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        number as usize % end.max(1)
    }
}

/// An input, changed in one to four places.
fn mutated(inputs: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut input = inputs[numbers.below(inputs.len())].clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(input.len() + 1);
        let end = at + numbers.below((input.len() - at).min(64) + 1);
        match numbers.below(6) {
            0 => input.truncate(at),
            1 => input.insert(at, numbers.below(256) as u8),
            2 => drop(input.drain(at..end)),
            3 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            4 => {
                let other = &inputs[numbers.below(inputs.len())];
                let from = numbers.below(other.len() + 1);
                let to = from + numbers.below((other.len() - from).min(64) + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
    }
    input.truncate(LONGEST);
    input
}

/// The inputs of one target, in an order that does not depend on the disk.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let entries = std::fs::read_dir(folder.join(target)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Runs all of a target's inputs. One that fails is left in a file, and named.
fn smoke(target: &str) {
    let inputs = corpus(target);
    assert!(!inputs.is_empty());
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mutations = (0..MUTATIONS).map(|_| mutated(&inputs, &mut numbers));
    let mutations: Vec<_> = mutations.collect();
    for input in inputs.iter().chain(&mutations) {
        let run = std::panic::catch_unwind(|| berth_fuzz_targets::run(target, input));
        if run.is_err() {
            let left = std::env::temp_dir().join(format!("berth-fuzz-{target}"));
            std::fs::write(&left, input).unwrap();
            panic!("the input is in {}", left.display());
        }
    }
}

macro_rules! smoke {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                smoke(stringify!($target));
            }
        )*

        #[test]
        fn each_target_is_here_and_for_cargo_fuzz() {
            let here = [$(stringify!($target)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), here);
            let manifest = include_str!("../../Cargo.toml");
            let names = manifest.lines().filter_map(|line| line.strip_prefix("name = "));
            let names: Vec<_> = names.skip(1).map(|name| name.trim_matches('"')).collect();
            assert_eq!(names, here);
        }
    };
}
smoke!(bus cgroup decide exceptions globs ledger lists loaded merge mounts pam penalties protocol records state);

#[test]
fn the_inputs_for_a_policy_are_policies_and_those_for_a_message_are_messages() {
    // Or the mutations would be of what is refused at once.
    assert!(corpus("protocol").iter().all(|input| is_message(input)));
    assert!(corpus("pam").iter().any(|input| joins(input)));
    let inputs = corpus("merge");
    let valid = inputs.iter().filter(|input| is_policy(input)).count();
    assert!(valid >= 6, "{valid} of {}", inputs.len());
}
