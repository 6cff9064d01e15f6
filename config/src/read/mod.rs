//! From TOML to a policy: each file's tree, key by key, with every error in it.

mod document;
mod list;
mod nearest;
mod reader;
mod rule;
mod scalar;
pub(crate) mod table;

pub(crate) use document::{Names, Part, TOP, listed, read};
pub(crate) use nearest::nearest;
pub(crate) use reader::{CapsOf, FromToml, Key, Node, Reader, Scalar};
