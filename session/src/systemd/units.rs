//! What is asked of systemd: org.freedesktop.systemd1(5) describes each call.

use super::Bus;
use super::wire::{self, Property, Value, Writer};
use crate::{Error, Result};

impl Bus {
    /// Sets properties of a unit, all or none, until the next boot. The unit need not be there yet. What lists
    /// it had is replaced.
    pub fn set(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        let mut arguments = Writer::default();
        arguments
            .text(unit)
            .flag(true)
            .properties(&replacing(properties));
        let names: Vec<_> = properties.iter().map(|one| one.name.as_str()).collect();
        let what = format!("set {} of {unit}", names.join(", "));
        self.manager("SetUnitProperties", "sba(sv)", arguments, &what)
            .map(drop)
    }

    /// A property that a slice has.
    pub fn get(&mut self, slice: &str, property: &str) -> Result<Value> {
        self.property(slice, "org.freedesktop.systemd1.Slice", property)
    }

    /// Whether a unit is active.
    pub fn is_active(&mut self, unit: &str) -> Result<bool> {
        let state = self.property(unit, "org.freedesktop.systemd1.Unit", "ActiveState")?;
        Ok(state == Value::Text("active".into()))
    }

    fn property(&mut self, unit: &str, interface: &str, property: &str) -> Result<Value> {
        let mut arguments = Writer::default();
        arguments.text(interface).text(property);
        let what = format!("tell {property} of {unit}");
        let properties = "org.freedesktop.DBus.Properties";
        let body = self.call(&object(unit), properties, "Get", "ss", arguments, &what)?;
        wire::variant(&body).ok_or(Error::Refused {
            what,
            reason: "its answer is of another type".into(),
        })
    }

    /// Starts a unit. It may not have started yet when this returns.
    pub fn start(&mut self, unit: &str) -> Result<()> {
        let mut arguments = Writer::default();
        arguments.text(unit).text("fail");
        let what = format!("start {unit}");
        self.manager("StartUnit", "ss", arguments, &what).map(drop)
    }

    /// Starts a scope with a process in it, and with it those of these slices that are not there. The process may
    /// not be there yet when this returns.
    pub fn start_scope(
        &mut self,
        name: &str,
        properties: &[Property],
        slices: &[(String, Vec<Property>)],
    ) -> Result<()> {
        let mut arguments = Writer::default();
        // A slice that is about to stop, as its last session has ended, goes on then.
        arguments.text(name).text("replace").properties(properties);
        arguments.array(8, |all| {
            for (slice, properties) in slices {
                all.align(8).text(slice).properties(properties);
            }
        });
        let what = format!("start {name}");
        let signature = "ssa(sv)a(sa(sv))";
        self.manager("StartTransientUnit", signature, arguments, &what)
            .map(drop)
    }

    /// Kills all that is in a unit.
    pub fn kill(&mut self, unit: &str) -> Result<()> {
        const SIGKILL: u32 = 9;
        let mut arguments = Writer::default();
        arguments.text(unit).text("all").u32(SIGKILL);
        let what = format!("kill {unit}");
        self.manager("KillUnit", "ssi", arguments, &what).map(drop)
    }

    /// Freezes units, and all those below a slice. systemd answers when it is done with one, and is asked for all before that.
    pub fn freeze<'a>(&mut self, units: impl Iterator<Item = &'a str>) -> Vec<Result<()>> {
        let units: Vec<_> = units.collect();
        let mut done = Vec::new();
        for units in units.chunks(self.at_once()) {
            let ask = |unit: &&str| {
                let mut arguments = Writer::default();
                arguments.text(unit);
                let call = self.ask_manager("FreezeUnit", "s", arguments)?;
                Ok((call, format!("freeze {unit}")))
            };
            let asked: Vec<Result<(u32, String)>> = units.iter().map(ask).collect();
            done.extend(asked.into_iter().map(|asked| {
                let (call, what) = asked?;
                self.answer(call, &what).map(drop)
            }));
        }
        done
    }

    /// Thaws a unit.
    pub fn thaw(&mut self, unit: &str) -> Result<()> {
        let mut arguments = Writer::default();
        arguments.text(unit);
        let what = format!("thaw {unit}");
        self.manager("ThawUnit", "s", arguments, &what).map(drop)
    }
}

/// systemd adds to lists: they are emptied first.
fn replacing(properties: &[Property]) -> Vec<Property> {
    let mut all = Vec::new();
    for property in properties {
        if let Value::Rates(rates) = &property.value {
            all.push(Property::new(&property.name, Value::Rates(Vec::new())));
            if rates.is_empty() {
                continue;
            }
        }
        all.push(property.clone());
    }
    all
}

/// The object that stands for a unit: its name, with all that is neither letter nor digit escaped.
fn object(unit: &str) -> String {
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    for byte in unit.bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(byte.into());
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_as_systemd_names_them() {
        assert_eq!(
            object("user-1001.slice"),
            "/org/freedesktop/systemd1/unit/user_2d1001_2eslice"
        );
    }
}
