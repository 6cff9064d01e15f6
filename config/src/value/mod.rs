//! The values of a policy, each a type whose making is its check.

mod ids;

pub use ids::{IdList, IdSet};
