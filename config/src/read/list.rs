//! Lists, tables of devices, and names that refer to something.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{FromToml, Node, Reader};
use crate::setting::{OneOf, Ref};
use crate::value::{Devices, IoPath, Name};

impl<T: FromToml> FromToml for OneOf<T> {
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let values = Vec::read(node, reader)?;
        if values.is_empty() {
            reader.error(
                node.span(),
                "an empty list",
                "write a value, or leave the key out",
            );
            return None;
        }
        Some(OneOf(values))
    }
}

impl<T: FromToml> FromToml for Vec<T> {
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Array(nodes) => {
                // Every element is read, so that every error is found.
                let values: Vec<Option<T>> =
                    nodes.iter().map(|node| T::read(node, reader)).collect();
                values.into_iter().collect()
            }
            _ => T::read(node, reader).map(|value| vec![value]),
        }
    }
}

impl<T: FromToml> FromToml for Devices<T> {
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.table(node, "a table such as { \"/srv\" = \"50M\" }")?;
        let mut devices = BTreeMap::new();
        let mut whole = true;
        for (key, node) in table {
            let path = match IoPath::parse(key.get_ref()) {
                Ok(path) => Some(path),
                Err(wrong) => {
                    reader.wrong(key.span(), wrong);
                    None
                }
            };
            match (path, T::read(node, reader)) {
                // TOML tells apart what is written differently: `/srv` and `/srv/`.
                (Some(path), Some(value)) => {
                    if devices.insert(path, value).is_some() {
                        reader.error(key.span(), "this path stands here already", "write it once");
                    }
                }
                _ => whole = false,
            }
        }
        whole.then_some(Devices(devices))
    }
}

impl FromToml for Ref {
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let name = Name::read(node, reader)?;
        let at = reader.at(node.span());
        Some(Ref { name, at })
    }
}
