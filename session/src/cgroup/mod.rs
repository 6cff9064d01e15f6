//! The kernel's side of a session: the hierarchy, its cgroups, and what is read from them.

pub(crate) mod freezer;
pub(crate) mod group;
pub(crate) mod headless;
pub(crate) mod limits;
pub(crate) mod protection;
pub(crate) mod tree;
pub(crate) mod usage;

pub use group::{Controller, Group};
pub use limits::{Limits, Pressure, cpu_max};
pub use protection::{PROTECTION, cover};
pub use tree::{Backend, Tree, mounts_of};
pub use usage::{Usage, memory_in_use, tasks_refused};
