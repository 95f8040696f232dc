//! Which files may be touched, and the way to them: step by step from an allowed folder, without following a link, so that
//! no name and no change under way leads out of it.

use crate::invalid;
use muster::{ActionCall, ActionError, Error};
use rustix::fs::{fstat, open, openat, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

#[derive(Clone, Copy, PartialEq)]
pub enum Access {
    Read,
    Write,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "plugin.file.allowed")]
    allowed: Vec<PathBuf>,
    #[serde(rename = "plugin.file.writable")]
    writable: Vec<PathBuf>,
}

/// A name in a folder that is held open.
pub struct Place {
    pub folder: OwnedFd,
    pub name: OsString,
    path: String,
}

impl Place {
    /// Fails unless the path lies below an allowed folder, and every folder on the way is one.
    pub fn find(path: &str, access: Access, call: &ActionCall) -> Result<Self, Error> {
        let Config { allowed, writable } = call.host().config()?;
        if !path.starts_with('/') {
            return Err(invalid(format!("input file must be an absolute path, not '{path}'")));
        }
        if path.contains('\0') || Path::new(path).components().any(|part| part == Component::ParentDir) {
            return Err(invalid(format!("input file must not have '..' in it: '{}'", path.escape_debug())));
        }
        let readable = allowed.iter().filter(|_| access == Access::Read);
        let below = |root: &&PathBuf| Path::new(path).strip_prefix(root).is_ok_and(|rest| rest != Path::new(""));
        let Some(root) = writable.iter().chain(readable).filter(below).max_by_key(|root| root.components().count()) else {
            let (what, key) = match access {
                Access::Read => ("read", "plugin.file.allowed"),
                Access::Write => ("changed", "plugin.file.writable"),
            };
            return Err(ActionError::new(format!("{path} may not be {what} here; no folder of {key} holds it")).into());
        };
        Self::walk(root, path)
    }

    /// The administrator's own folder may be reached by links, what is below it may not.
    fn walk(root: &Path, path: &str) -> Result<Self, Error> {
        let failed = |problem: Errno| problem_with(path, problem);
        let mut folder = open(root, FOLDER, Mode::empty()).map_err(failed)?;
        let mut names: Vec<_> = Path::new(path).strip_prefix(root)?.iter().collect();
        let name = names.pop().unwrap_or_default().to_owned();
        for step in names {
            folder = openat(&folder, step, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
        }
        Ok(Self { folder, name, path: path.to_owned() })
    }

    pub fn open_file(&self) -> Result<File, Error> {
        self.open(OFlags::RDONLY, 0)
    }

    /// Opens the file, which has to be an ordinary one; a pipe or device is not waited for.
    pub fn open(&self, flags: OFlags, mode: u32) -> Result<File, Error> {
        self.open_as(&self.name, flags, mode)
    }

    /// Opens another name in the same folder.
    pub fn open_as(&self, name: &OsString, flags: OFlags, mode: u32) -> Result<File, Error> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, name, flags, Mode::from(mode)).map_err(|problem| self.problem(problem))?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(ActionError::new(format!("{} is no ordinary file", self.path)).into());
        }
        Ok(file.into())
    }

    pub fn problem(&self, problem: Errno) -> Error {
        problem_with(&self.path, problem)
    }
}

fn problem_with(path: &str, problem: Errno) -> Error {
    let what = match problem {
        Errno::NOENT => crate::ABSENT.to_owned(),
        Errno::LOOP => "symbolic links are not followed".to_owned(),
        Errno::NOTDIR => "there is a file or a symbolic link on the way where a folder should be".to_owned(),
        Errno::ISDIR => "it is a folder".to_owned(),
        other => other.to_string(),
    };
    ActionError::new(format!("{path}: {what}")).into()
}
