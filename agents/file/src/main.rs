//! The agent `file`: looks at files, fetches them in parts, and puts them in their place in one step.

mod digest;
mod place;
mod put;
mod status;

use crate::digest::digest_of;
use crate::place::{Access, Place};
use muster::{ActionCall, ActionError, Agent, Bytes, Error};
use rustix::fs::{fstat, futimens, unlinkat, AtFlags, OFlags, Timespec, Timestamps, UTIME_NOW};
use serde::Deserialize;
use serde_json::{json, Value};
use std::os::unix::fs::FileExt;

/// What one message carries; a line of the protocol holds far more than this in base64.
pub const MAX_PART: u64 = 512 * 1024;
const ABSENT: &str = "there is no such file";

#[derive(Deserialize)]
struct Named {
    file: String,
}

#[derive(Deserialize)]
struct Checksum {
    file: String,
    #[serde(rename = "type", default = "sha256")]
    kind: String,
}

#[derive(Deserialize)]
struct Fetch {
    file: String,
    #[serde(default)]
    offset: u64,
    #[serde(default = "max_part")]
    length: u64,
}

fn sha256() -> String {
    "sha256".to_owned()
}

fn max_part() -> u64 {
    MAX_PART
}

fn checksum(input: Checksum, call: &ActionCall) -> Result<Value, Error> {
    let place = Place::find(&input.file, Access::Read, call)?;
    let mut file = place.open_file()?;
    let (checksum, size) = digest_of(&input.kind, &mut file, call)?;
    Ok(json!({ "file": input.file, "type": input.kind, "checksum": checksum, "size": size }))
}

fn fetch(input: Fetch, call: &ActionCall) -> Result<Value, Error> {
    if input.length > MAX_PART {
        return Err(invalid(format!("input length must be at most {MAX_PART}, not {}", input.length)));
    }
    let file = Place::find(&input.file, Access::Read, call)?.open_file()?;
    let mut content = vec![0; input.length as usize];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(&mut content[filled..], input.offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    content.truncate(filled);
    let (part, _) = digest_of("sha256", &mut content.as_slice(), call)?;
    let found = fstat(&file)?;
    let size = found.st_size as u64;
    Ok(json!({
        "file": input.file, "offset": input.offset, "length": filled, "size": size, "mtime_seconds": found.st_mtime,
        "done": input.offset + filled as u64 >= size, "sha256": part, "content": Bytes(content),
    }))
}

fn touch(input: Named, call: &ActionCall) -> Result<Value, Error> {
    let place = Place::find(&input.file, Access::Write, call)?;
    let file = place.open(OFlags::WRONLY | OFlags::CREATE, 0o644)?;
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    futimens(&file, &Timestamps { last_access: now, last_modification: now })?;
    Ok(json!({ "file": input.file }))
}

fn remove(input: Named, call: &ActionCall) -> Result<Value, Error> {
    let place = Place::find(&input.file, Access::Write, call)?;
    unlinkat(&place.folder, &place.name, AtFlags::empty()).map_err(|problem| place.problem(problem))?;
    Ok(json!({ "file": input.file }))
}

pub fn invalid(message: impl Into<String>) -> Error {
    ActionError::new(message).status(4).into()
}

fn main() {
    let mut agent = Agent::new("file", env!("CARGO_PKG_VERSION"));
    agent.action("checksum", checksum);
    agent.action("fetch", fetch);
    agent.action("put", put::put);
    agent.action("status", status::status);
    agent.action("touch", touch);
    agent.action("remove", remove);
    agent.run()
}
