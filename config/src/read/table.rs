//! Tables of a policy: what keys they have, how they are read, and how one is laid over another.

/// Makes a table's type from its keys: each is an optional [`Setting`](crate::setting::Setting) of
/// its type. One list, so that reading, merging and the list of known keys cannot differ.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $name:ident { $( $field:ident : $type:ty ),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub(crate) struct $name {
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                pub(crate) $field: Option<$crate::setting::Setting<$type>>,
            )*
        }

        #[allow(dead_code)] // not every table needs all of these
        impl $name {
            /// All keys.
            pub(crate) const KEYS: &'static [&'static str] = &[$(stringify!($field)),*];

            /// Reads one key, if it is one of this table's.
            pub(crate) fn read_key(
                &mut self,
                key: &$crate::read::Key<'_>,
                node: &$crate::read::Node<'_>,
                reader: &mut $crate::read::Reader<'_>,
            ) -> bool {
                match key.get_ref().as_ref() {
                    $(
                        stringify!($field) => {
                            self.$field = reader.setting(key, node);
                            true
                        }
                    )*
                    _ => false,
                }
            }

            /// Reads a whole table.
            pub(crate) fn read(
                node: &$crate::read::Node<'_>,
                reader: &mut $crate::read::Reader<'_>,
            ) -> Self {
                let mut table = Self::default();
                if let Some(keys) = reader.table(node, "a table") {
                    for (key, node) in keys {
                        if !table.read_key(key, node, reader) {
                            reader.unknown(key, Self::KEYS);
                        }
                    }
                }
                table
            }

            /// Lays another table over this one: its keys win.
            pub(crate) fn overlay(&mut self, over: &Self) {
                $(
                    if over.$field.is_some() {
                        self.$field.clone_from(&over.$field);
                    }
                )*
            }

            /// Where each key that is set, and not to `"unset"`, was set.
            pub(crate) fn marks(&self) -> Vec<(&'static str, $crate::setting::Mark)> {
                let mut marks = Vec::new();
                $(
                    if let Some(mark) = $crate::setting::mark(&self.$field) {
                        marks.push((stringify!($field), mark));
                    }
                )*
                marks
            }
        }
    };
}
pub(crate) use table;
