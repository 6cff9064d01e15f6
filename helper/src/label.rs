//! What a security module has written on a file: SELinux's context. What covers a folder of the host's gets that folder's,
//! as SELinux would let nobody use a /tmp with the context of /var/lib/berth.

use std::path::Path;

use nix::errno::Errno;

use crate::error::{Result, file};
use crate::sys;

/// The context of a file; none where there is no SELinux, or no such file.
#[derive(Debug)]
pub struct Label(Option<Vec<u8>>);

impl Label {
    /// That of what is not asked.
    pub fn none() -> Label {
        Label(None)
    }

    /// Reads it. The file system is asked, where there is no SELinux: that must be none of a user's.
    pub fn of(path: &Path) -> Result<Label> {
        match sys::selinux_context(path) {
            Ok(context) => Ok(Label(Some(context))),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::ENOENT) => Ok(Label(None)),
            Err(errno) => Err(file("read the SELinux context of", path)(errno.into())),
        }
    }

    /// Puts it on another file, where that has a different one. Nobody's label changes nothing.
    pub fn put_on(&self, path: &Path) -> Result<()> {
        let Some(context) = &self.0 else {
            return Ok(());
        };
        if Label::of(path)?.0.as_ref() == Some(context) {
            return Ok(());
        }
        match sys::set_selinux_context(path, context) {
            // A file system without any.
            Err(Errno::EOPNOTSUPP) => Ok(()),
            other => other.map_err(|errno| file("set the SELinux context of", path)(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_covers_a_folder_gets_its_label() {
        let place = std::env::temp_dir().join(format!("berth-label-{}", std::process::id()));
        let (of, on) = (place.join("of"), place.join("on"));
        std::fs::create_dir_all(&of).unwrap();
        std::fs::create_dir_all(&on).unwrap();
        let context = b"system_u:object_r:tmp_t:s0\0";
        assert!(Label::of(&place.join("none")).unwrap().0.is_none());
        Label::of(&of).unwrap().put_on(&on).unwrap();
        assert_eq!(sys::selinux_context(&on), Err(Errno::ENODATA));
        sys::set_selinux_context(&of, context).unwrap();
        Label::of(&of).unwrap().put_on(&on).unwrap();
        assert_eq!(sys::selinux_context(&on).unwrap(), context);
        std::fs::remove_dir_all(&place).unwrap();
    }
}
