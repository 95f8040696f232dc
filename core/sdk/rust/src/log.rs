//! The plugin's log: JSON lines on stderr, where the host reads them.

use serde_json::{json, Value};
use std::io::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes to the host's log. `fields` is an object, such as `json!({ "path": path })`, or null.
pub fn log(level: Level, message: &str, fields: Value) {
    let mut entry = match fields {
        Value::Object(entry) => entry,
        _ => Default::default(),
    };
    let name = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    entry.insert("level".to_owned(), json!(name));
    entry.insert("message".to_owned(), json!(message));
    // One write a line, so that those of several threads don't mix. Without a reader there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("{}\n", Value::Object(entry)).as_bytes());
}
