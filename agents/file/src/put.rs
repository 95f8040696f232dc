//! A file that comes in parts. They are gathered beside the target; when all are there and have the checksum that was
//! announced, the whole takes the target's place in one step. Until then the target is as it was.

use crate::digest::digest_of;
use crate::place::{Access, Place};
use crate::{invalid, MAX_PART};
use muster::{ActionCall, ActionError, Bytes, Error};
use rustix::fs::{
    fchmod, fchown, flock, fstat, fsync, renameat, statat, unlinkat, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat,
};
use rustix::process::{geteuid, Gid, Uid};
use serde::Deserialize;
use serde_json::{json, Value};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;

const DEFAULT_MODE: u32 = 0o600;

#[derive(Deserialize)]
pub struct Input {
    file: String,
    #[serde(default)]
    offset: u64,
    size: u64,
    sha256: String,
    content: Bytes,
    mode: Option<String>,
}

pub fn put(input: Input, call: &ActionCall) -> Result<Value, Error> {
    let content = &input.content.0;
    let end = input.offset.checked_add(content.len() as u64);
    if content.len() as u64 > MAX_PART {
        return Err(invalid(format!("input content holds {} bytes; a part has at most {MAX_PART}", content.len())));
    }
    if end.is_none_or(|end| end > input.size) {
        return Err(invalid(format!("input content goes beyond the size of {} bytes", input.size)));
    }
    if input.sha256.len() != 64 || !input.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(invalid("input sha256 must be 64 hexadecimal digits in lower case"));
    }
    let mode = input.mode.as_deref().map(mode_of).transpose()?;
    let place = Place::find(&input.file, Access::Write, call)?;
    let target = existing(&place)?;
    let part_name = part_name(&place, &input.sha256);
    if is_there_already(&place, &part_name, target.as_ref(), &input, call)? {
        return Ok(json!({ "file": input.file, "received": input.size, "done": true }));
    }
    let part = open_part(&place, &part_name)?;

    let received = fstat(&part)?.st_size as u64;
    if input.offset > received {
        if received == 0 {
            unlinkat(&place.folder, &part_name, AtFlags::empty())?;
        }
        let data = json!({ "file": input.file, "received": received, "done": false });
        let wanted = format!("{received} bytes are here, so the next part begins at {received}, not at {}", input.offset);
        return Err(ActionError::new(wanted).status(4).data(data).into());
    }
    part.write_all_at(content, input.offset)?;
    let received = received.max(input.offset + content.len() as u64);
    let done = received == input.size;
    if done {
        finish(&place, &part_name, part, &input, mode, target, call)?;
    }
    Ok(json!({ "file": input.file, "received": received, "done": done }))
}

fn finish(
    place: &Place,
    part_name: &OsString,
    mut part: File,
    input: &Input,
    mode: Option<u32>,
    target: Option<Stat>,
    call: &ActionCall,
) -> Result<(), Error> {
    part.seek(SeekFrom::Start(0))?;
    let (actual, _) = digest_of("sha256", &mut part, call)?;
    if actual != input.sha256 {
        unlinkat(&place.folder, part_name, AtFlags::empty())?;
        let problem = format!("what came has the sha256 {actual}, not {}; {} is as it was", input.sha256, input.file);
        return Err(invalid(problem));
    }
    let own = fstat(&part)?;
    if let Some(before) = target.filter(|before| (before.st_uid, before.st_gid) != (own.st_uid, own.st_gid)) {
        fchown(&part, Some(Uid::from_raw(before.st_uid)), Some(Gid::from_raw(before.st_gid)))?;
    }
    let mode = mode.or(target.map(|before| before.st_mode & 0o777)).unwrap_or(DEFAULT_MODE);
    fchmod(&part, Mode::from(mode))?;
    fsync(&part)?;
    renameat(&place.folder, part_name, &place.folder, &place.name).map_err(|problem| place.problem(problem))?;
    fsync(&place.folder)?;
    Ok(())
}

/// The file that is to be replaced; anything else of that name is left alone.
fn existing(place: &Place) -> Result<Option<Stat>, Error> {
    match statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => Ok(Some(found)),
        Ok(_) => Err(ActionError::new("what is there is no ordinary file, and is not replaced").into()),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(problem) => Err(place.problem(problem)),
    }
}

/// The last part may be sent again by somebody who did not hear that it was the last.
fn is_there_already(
    place: &Place,
    part_name: &OsString,
    target: Option<&Stat>,
    input: &Input,
    call: &ActionCall,
) -> Result<bool, Error> {
    let begun = statat(&place.folder, part_name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if begun || target.is_none_or(|found| found.st_size as u64 != input.size) {
        return Ok(false);
    }
    Ok(digest_of("sha256", &mut place.open_file()?, call)?.0 == input.sha256)
}

/// Named by what it is to become, so that parts of different contents don't mix and a transfer can go on later.
fn part_name(place: &Place, sha256: &str) -> OsString {
    let mut name = OsString::from(".");
    name.push(&place.name);
    name.push(format!(".{}.part", &sha256[..16]));
    name
}

/// Opened by one at a time, and only if nobody else can have a hand in it.
fn open_part(place: &Place, name: &OsString) -> Result<File, Error> {
    let part = place.open_as(name, OFlags::RDWR | OFlags::CREATE, DEFAULT_MODE)?;
    let busy = || Error::from(ActionError::new("another part of this file is being written; send this one again"));
    flock(&part, FlockOperation::NonBlockingLockExclusive).map_err(|_| busy())?;
    let opened = fstat(&part)?;
    // Whoever held it before us may have put it in the target's place.
    let there = statat(&place.folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| busy())?;
    if (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino) {
        return Err(busy());
    }
    if opened.st_uid != geteuid().as_raw() || opened.st_nlink != 1 || opened.st_mode & 0o077 != 0 {
        let problem = format!("{} was made by somebody else; remove it", name.to_string_lossy());
        return Err(ActionError::new(problem).into());
    }
    Ok(part)
}

fn mode_of(text: &str) -> Result<u32, Error> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| invalid(format!("input mode must be octal, 0000 to 0777, not '{text}'")))
}
