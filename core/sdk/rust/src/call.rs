//! One call as its handler sees it.

use crate::error::Error;
use crate::host::{lock, Host};
use serde::Serialize;
use serde_json::{json, Value};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a handler can wait for: the end of its call, and answers of the host.
#[derive(Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    answers: HashMap<u64, Value>,
}

impl Signal {
    pub(crate) fn cancel(&self) {
        lock(&self.state).cancelled = true;
        self.changed.notify_all();
    }

    pub(crate) fn answered(&self, id: u64, answer: Value) {
        lock(&self.state).answers.insert(id, answer);
        self.changed.notify_all();
    }

    pub(crate) fn answer(&self, id: u64, timeout: Option<Duration>) -> Result<Value, Error> {
        self.wait(timeout, |state| state.answers.remove(&id)).unwrap_or_else(|| Err(Error::deadline()))
    }

    /// Waits for `found`, or for a cancel; nothing when the time is over.
    fn wait<T>(&self, timeout: Option<Duration>, mut found: impl FnMut(&mut State) -> Option<T>) -> Option<Result<T, Error>> {
        let until = timeout.map(|time| Instant::now() + time);
        let mut state = lock(&self.state);
        loop {
            if let Some(value) = found(&mut state) {
                return Some(Ok(value));
            }
            if state.cancelled {
                return Some(Err(Error::cancelled()));
            }
            state = match until.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

pub struct Call {
    host: Host,
    id: Value,
    meta: Value,
    deadline: Option<Instant>,
    signal: Arc<Signal>,
}

impl Call {
    pub(crate) fn new(host: Host, id: Value, meta: Value) -> Self {
        let deadline = meta["deadlineMs"].as_u64().map(|left| Instant::now() + Duration::from_millis(left));
        Self { host, id, meta, deadline, signal: Arc::default() }
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Trace id to pass on.
    pub fn trace(&self) -> Option<&str> {
        self.meta["trace"].as_str()
    }

    /// How deep this call is nested, from 0.
    pub fn depth(&self) -> u64 {
        self.meta["depth"].as_u64().unwrap_or(0)
    }

    /// The announced plugin that is meant, for a plugin that announced several.
    pub fn plugin(&self) -> Option<&str> {
        self.meta["plugin"].as_str()
    }

    /// What is left of the time; none without a deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|end| end.saturating_duration_since(Instant::now()))
    }

    pub fn cancelled(&self) -> bool {
        lock(&self.signal.state).cancelled
    }

    /// Fails when the caller gave up or the time is over; ask it between steps of long work.
    pub fn check(&self) -> Result<(), Error> {
        if self.cancelled() {
            return Err(Error::cancelled());
        }
        match self.remaining() {
            Some(Duration::ZERO) => Err(Error::deadline()),
            _ => Ok(()),
        }
    }

    /// Sleeps, and fails at once when the caller gives up or the time is over.
    pub fn sleep(&self, time: Duration) -> Result<(), Error> {
        let allowed = self.remaining().map_or(time, |left| left.min(time));
        self.signal.wait(Some(allowed), |_| None::<()>);
        self.check()
    }

    /// Sends a part of the answer, for methods that stream.
    pub fn progress(&self, value: impl Serialize) -> Result<(), Error> {
        let value = serde_json::to_value(value)?;
        self.host.send(&json!({ "jsonrpc": "2.0", "method": "$/progress", "params": { "id": self.id, "value": value } }))
    }

    pub(crate) fn id(&self) -> &Value {
        &self.id
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }
}
