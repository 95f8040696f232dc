//! The host as a plugin sees it: what it said in the handshake, and what can be asked of it.

use crate::call::{Call, Signal};
use crate::error::Error;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{json, Map, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub(crate) const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// What the host said in `initialize`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Info {
    pub bundle: String,
    pub plugin: String,
    pub kind: String,
    /// The values of the configuration keys in the manifest, validated and typed.
    pub config: Map<String, Value>,
    /// What was granted.
    pub capabilities: Value,
    /// A durable folder of this plugin's own; none unless the manifest needs `state`.
    pub state_folder: Option<PathBuf>,
}

/// The host, as far as `needs:` in the manifest reaches. Cheap to clone, and usable from any thread.
#[derive(Clone)]
pub struct Host(Arc<Link>);

struct Link {
    out: Mutex<File>,
    max_out: AtomicUsize,
    info: OnceLock<Info>,
    last_id: AtomicU64,
    /// Who waits for the answer to a request of ours.
    waiting: Mutex<HashMap<u64, Arc<Signal>>>,
}

impl Host {
    pub(crate) fn new(out: File) -> Self {
        Self(Arc::new(Link {
            out: Mutex::new(out),
            max_out: AtomicUsize::new(MAX_LINE_BYTES),
            info: OnceLock::new(),
            last_id: AtomicU64::new(0),
            waiting: Mutex::default(),
        }))
    }

    /// What the host said in the handshake. @panics before that
    pub fn info(&self) -> &Info {
        self.0.info.get().expect("the host has said nothing before its handshake")
    }

    /// The configuration as a struct, whose fields are named as the keys: `#[serde(rename = "plugin.weather.station")]`.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        typed(Value::Object(self.info().config.clone()))
            .map_err(|problem| Error::new("INTERNAL", format!("the configuration key {}: {}", problem.path(), problem.inner())))
    }

    /// Asks for a capability, such as `bus/publish`, between calls. On behalf of a call use [`Call::ask`].
    pub fn ask(&self, method: &str, params: impl Serialize, timeout: Option<Duration>) -> Result<Value, Error> {
        self.request(method, &serde_json::to_value(params)?, json!({}), timeout, &Arc::default())
    }

    /// One request of ours, and its answer. The signal is what the wait listens to.
    pub(crate) fn request(
        &self,
        method: &str,
        params: &Value,
        mut meta: Value,
        timeout: Option<Duration>,
        signal: &Arc<Signal>,
    ) -> Result<Value, Error> {
        if let Some(left) = timeout {
            if left.is_zero() {
                return Err(Error::deadline());
            }
            meta["deadlineMs"] = json!(left.as_millis().max(1) as u64);
        }
        let id = self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.0.waiting).insert(id, signal.clone());
        let sent = self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params, "_meta": meta }));
        let outcome = sent.and_then(|()| signal.answer(id, timeout));
        if lock(&self.0.waiting).remove(&id).is_some() && outcome.is_err() {
            // Given up, not answered.
            let _ = self.send(&json!({ "jsonrpc": "2.0", "method": "$/cancel", "params": { "id": id } }));
        }
        match outcome?.as_object_mut() {
            Some(answer) if answer.contains_key("error") => Err(Error::from_body(&answer["error"])),
            Some(answer) => Ok(answer.remove("result").unwrap_or_default()),
            None => Ok(Value::Null),
        }
    }

    pub(crate) fn agreed(&self, info: Info, max_out: Option<u64>) {
        let _ = self.0.info.set(info);
        if let Some(bytes) = max_out {
            self.0.max_out.store(bytes as usize, Ordering::Relaxed);
        }
    }

    pub(crate) fn answered(&self, id: &Value, answer: Value) {
        let waiting = id.as_u64().and_then(|id| Some((id, lock(&self.0.waiting).remove(&id)?)));
        if let Some((id, signal)) = waiting {
            signal.answered(id, answer);
        }
    }

    pub(crate) fn send(&self, message: &Value) -> Result<(), Error> {
        let mut line = serde_json::to_vec(message)?;
        let limit = self.0.max_out.load(Ordering::Relaxed);
        if line.len() > limit {
            let problem = format!("the message has {} bytes, the other side accepts {limit}; hand it over in a file", line.len());
            return Err(Error::new("TOO_LARGE", problem));
        }
        line.push(b'\n');
        if lock(&self.0.out).write_all(&line).is_err() {
            std::process::exit(0); // the host is gone
        }
        Ok(())
    }

    /// Waits until what others write is written, then ends the process.
    pub(crate) fn leave(&self) -> ! {
        let _out = lock(&self.0.out);
        std::process::exit(0)
    }
}

pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize(value)
}

/// No handler runs while one of our locks is held, so a panic leaves what they guard whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Call {
    /// Asks the host for a capability on behalf of this call: trace, depth and what is left of the time are passed on, and
    /// the wait ends with the call.
    pub fn ask(&self, method: &str, params: impl Serialize) -> Result<Value, Error> {
        let mut meta = json!({ "depth": self.depth() + 1 });
        if let Some(trace) = self.trace() {
            meta["trace"] = json!(trace);
        }
        self.host().request(method, &serde_json::to_value(params)?, meta, self.remaining(), self.signal())
    }

    /// The fact of this machine at a gjson path, or all of them for `""`; null if there is none. The manifest needs
    /// `plugins: [facts]`.
    pub fn facts(&self, path: &str) -> Result<Value, Error> {
        let params = if path.is_empty() { json!({}) } else { json!({ "path": path }) };
        let asked = json!({ "kind": "facts", "name": "node", "method": "facts/get", "params": params });
        Ok(self.ask("plugins/call", asked)?["value"].take())
    }
}
