//! The points at which a login is made to fail: `deny.keeper.openat.12.EMFILE`.

use std::fmt;
use std::str::FromStr;

use nix::errno::Errno;

use super::calls;

/// Whose system call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The module in sshd, while it is asked about the account.
    Account,
    /// The module in sshd, while it opens the session.
    Open,
    /// The module in sshd, while it closes the session.
    Close,
    /// The child that starts the helper.
    Starter,
    /// The helper that the module starts: later the standby.
    Helper,
    /// The helper's worker: later the keeper.
    Keeper,
    /// The init of the berth.
    Init,
}

/// All places, with their names.
const PLACES: [(Place, &str); 7] = [
    (Place::Account, "account"),
    (Place::Open, "open"),
    (Place::Close, "close"),
    (Place::Starter, "starter"),
    (Place::Helper, "helper"),
    (Place::Keeper, "keeper"),
    (Place::Init, "init"),
];

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call is not made, and fails.
    Error(Errno),
    /// The process is killed before the call.
    Kill,
    /// The call is not made, and seems to have succeeded: as for a program that takes no notice of its failure. What
    /// follows is to be seen as wrong, or nothing would be.
    Ignored,
}

/// A second failure in the same login, in whichever of Berth's processes that comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Second {
    /// How many of Berth's calls after the first failure.
    pub after: u32,
    /// In which way.
    pub way: Way,
}

/// How it fails a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The first call from there on that can.
    Error,
    /// The process is killed.
    Kill,
}

/// The n-th occurrence of a call in a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// Whose.
    pub place: Place,
    /// Which call.
    pub call: &'static str,
    /// The how manieth of this name in this place.
    pub nth: u32,
}

/// What the policy says of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnError {
    /// The login is refused.
    Deny,
    /// It goes on without a berth.
    Allow,
}

impl OnError {
    /// As the policy has it.
    pub fn name(self) -> &'static str {
        match self {
            OnError::Deny => "deny",
            OnError::Allow => "allow",
        }
    }
}

/// What the logins are like that are made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Setting {
    /// Each has a berth of its own. Where that cannot be had it is refused.
    Deny,
    /// As before, but then it goes on without a berth.
    Allow,
    /// `scope = "user"`, and the login makes its user's berth. `on_error` is deny.
    Founds,
    /// The same, and it joins the berth of a login that is on, and stays so.
    Joins,
    /// A berth without a user namespace, out of which the application goes back. `on_error` is allow.
    Off,
    /// Nothing but a cgroup, with caps where the kernel has them. `on_error` is deny.
    Caps,
    /// A berth, and the cgroup that the application is in already. `on_error` is deny.
    Keep,
}

impl Setting {
    /// All of them.
    pub const ALL: [Setting; 7] = [
        Setting::Deny,
        Setting::Allow,
        Setting::Founds,
        Setting::Joins,
        Setting::Off,
        Setting::Caps,
        Setting::Keep,
    ];

    /// What its points begin with.
    pub fn name(self) -> &'static str {
        match self {
            Setting::Deny => "deny",
            Setting::Allow => "allow",
            Setting::Founds => "founds",
            Setting::Joins => "joins",
            Setting::Off => "off",
            Setting::Caps => "caps",
            Setting::Keep => "keep",
        }
    }

    /// What its policy says of failures.
    pub fn on_error(self) -> OnError {
        match self {
            Setting::Allow | Setting::Off => OnError::Allow,
            Setting::Deny | Setting::Founds | Setting::Joins | Setting::Caps | Setting::Keep => {
                OnError::Deny
            }
        }
    }

    /// Whether what is done in a place may be another thing here than with `deny`.
    pub fn is_about(self, place: Place) -> bool {
        match self {
            Setting::Deny | Setting::Allow => true,
            Setting::Founds | Setting::Joins => matches!(place, Place::Keeper | Place::Init),
            Setting::Off | Setting::Caps | Setting::Keep => {
                matches!(
                    place,
                    Place::Open | Place::Close | Place::Keeper | Place::Init
                )
            }
        }
    }
}

/// One login that fails at one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Of which login.
    pub setting: Setting,
    /// Where.
    pub step: Step,
    /// How.
    pub fault: Fault,
    /// What fails after that, where that is tried.
    pub second: Option<Second>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PLACES.iter().find(|(place, _)| place == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { place, call, nth } = &self.step;
        write!(f, "{}.{place}.{call}.{nth}.", self.setting.name())?;
        match self.fault {
            Fault::Error(errno) => write!(f, "{errno:?}")?,
            Fault::Kill => f.write_str("KILL")?,
            Fault::Ignored => f.write_str("IGNORED")?,
        }
        match self.second {
            None => Ok(()),
            Some(Second { after, way }) => write!(f, "+{after}.{way:?}"),
        }
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(name: &str) -> Result<Point, String> {
        let unknown = || format!("no point is called {name}: see --list");
        let (first, second) = match name.split_once('+') {
            Some((first, second)) => (first, Some(second)),
            None => (name, None),
        };
        let second = second.map(|second| {
            let (after, way) = second.split_once('.').ok_or_else(unknown)?;
            let mut ways = [Way::Error, Way::Kill].into_iter();
            let way = ways.find(|one| format!("{one:?}") == way);
            Ok::<Second, String>(Second {
                after: after.parse().map_err(|_| unknown())?,
                way: way.ok_or_else(unknown)?,
            })
        });
        let parts: Vec<&str> = first.split('.').collect();
        let [setting, place, call, nth, fault] = parts[..] else {
            return Err(unknown());
        };
        let mut settings = Setting::ALL.into_iter();
        let setting = settings.find(|one| one.name() == setting);
        let call = calls::named(call).ok_or_else(unknown)?;
        let place = PLACES.iter().find(|(_, name)| *name == place);
        let mut errnos = call.errnos.iter().copied();
        Ok(Point {
            setting: setting.ok_or_else(unknown)?,
            step: Step {
                place: place.ok_or_else(unknown)?.0,
                call: call.name(),
                nth: nth.parse().map_err(|_| unknown())?,
            },
            fault: match fault {
                "KILL" => Fault::Kill,
                "IGNORED" => Fault::Ignored,
                errno => {
                    let found = errnos.find(|one| format!("{one:?}") == errno);
                    Fault::Error(found.ok_or_else(unknown)?)
                }
            },
            second: second.transpose()?,
        })
    }
}

/// Every way in which a step can fail.
pub fn points_of(setting: Setting, step: &Step) -> Vec<Point> {
    let errnos = calls::named(step.call).map_or(&[][..], |call| call.errnos);
    let errors = errnos.iter().map(|errno| Fault::Error(*errno));
    let faults = errors.chain([Fault::Kill]);
    let point = |fault| Point {
        setting,
        step: step.clone(),
        fault,
        second: None,
    };
    faults.map(point).collect()
}
