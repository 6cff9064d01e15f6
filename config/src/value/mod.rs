//! The values of a policy, each a type whose making is its check.

mod amount;
mod cpu;
mod devices;
mod duration;
mod glob;
mod ids;
mod names;
mod path_glob;
mod remote;
mod rlimit;
mod room;
mod share;
mod uid;
mod window;
mod wrong;

pub(crate) use amount::not_negative;
pub use amount::{ByteLimit, Count, Rate, Size, bytes_text, rate_text};
pub use cpu::{CpuQuota, Weight};
pub use devices::{Devices, IoPath};
pub use duration::{Linger, Span, duration_text};
pub use glob::Glob;
pub use ids::{IdList, IdSet};
pub use names::{AccountName, Line, Name, Path, RuleName, Text, TmpName};
pub use path_glob::{PathGlob, names_match};
pub use remote::Remote;
pub use rlimit::RlimitValue;
pub use room::{PrivateShm, PrivateTmpRoom};
pub use share::{Base, Memory, MemoryMax, Part, Percent, Share, Tasks};
pub(crate) use share::{MEMORY_MAX_FLOOR, TASKS_MAX_FLOOR, too_little};
pub use uid::UidRange;
pub use window::{Hours, Window};
pub use wrong::Wrong;
