//! What is known of a file, by the names that MCollective's agent `filemgr` gives it.

use crate::digest::digest_of;
use crate::place::{Access, Place};
use muster::{ActionCall, Error};
use rustix::fs::{openat, statat, AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::Deserialize;
use serde_json::{json, Value};
use std::time::{Duration, UNIX_EPOCH};

/// The MD5 of larger files is left to the action `checksum`, which may take its time.
const MAX_MD5_BYTES: i64 = 64 * 1024 * 1024;
const MAX_LISTED: usize = 1_000;

#[derive(Deserialize)]
pub struct Input {
    file: String,
    #[serde(default)]
    dirlist: bool,
}

pub fn status(input: Input, call: &ActionCall) -> Result<Value, Error> {
    let place = Place::find(&input.file, Access::Read, call)?;
    let found = match statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(json!({ "name": input.file, "output": "not present", "present": 0, "type": "unknown" })),
        Err(problem) => return Err(place.problem(problem)),
    };
    let kind = FileType::from_raw_mode(found.st_mode);
    let mut told = described(&input.file, &found, kind);
    if kind == FileType::RegularFile && found.st_size <= MAX_MD5_BYTES {
        told["md5"] = json!(digest_of("md5", &mut place.open_file()?, call)?.0);
    }
    if kind == FileType::Directory && input.dirlist {
        told["dir_listing"] = json!(listing(&place)?);
    }
    Ok(told)
}

fn described(name: &str, found: &Stat, kind: FileType) -> Value {
    let kind = match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "chardev",
        FileType::BlockDevice => "blockdev",
        FileType::Fifo => "fifo",
        _ => "unknown",
    };
    json!({
        "name": name, "output": "present", "present": 1, "type": kind, "size": found.st_size,
        "mode": format!("{:o}", found.st_mode), "uid": found.st_uid, "gid": found.st_gid,
        "mtime": readable(found.st_mtime), "mtime_seconds": found.st_mtime,
        "ctime": readable(found.st_ctime), "ctime_seconds": found.st_ctime,
        "atime": readable(found.st_atime), "atime_seconds": found.st_atime,
    })
}

fn readable(seconds: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.max(0) as u64);
    humantime::format_rfc3339_seconds(time).to_string()
}

fn listing(place: &Place) -> Result<Vec<String>, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(&place.folder, &place.name, flags, Mode::empty()).map_err(|problem| place.problem(problem))?;
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
        if names.len() == MAX_LISTED {
            break;
        }
    }
    names.sort();
    Ok(names)
}
