//! A plugin of any kind: reads what the host asks and hands it to the handlers, each call on a thread of its own.

use crate::call::{Call, Signal};
use crate::error::Error;
use crate::host::{lock, typed, Host, Info, MAX_LINE_BYTES};
use crate::lines::{read_line, Line};
use crate::log::{log, Level};
use crate::workers::{Job, Workers};
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::{json, Map, Value};
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

const PROTOCOL: u64 = 1;
const NO_MESSAGE: &str = "this line is no request, response or notification";

type Handler = Box<dyn Fn(Value, &Call) -> Result<Value, Error> + Send + Sync>;
type Hook = Box<dyn Fn(&Host) -> Result<(), Error> + Send + Sync>;

/// Register handlers, then [`run`](Plugin::run).
pub struct Plugin {
    version: String,
    handlers: HashMap<String, Handler>,
    activate: Option<Hook>,
    shutdown: Option<Hook>,
}

impl Plugin {
    /// The version is the plugin's own, for people.
    pub fn new(version: &str) -> Self {
        Self { version: version.to_owned(), handlers: HashMap::new(), activate: None, shutdown: None }
    }

    /// Registers the handler of a method, such as `auditor/record` or `bus/message`. Params and result are whatever serde
    /// reads and writes; `Value` takes them as they are. A result of `()` is an empty object.
    pub fn handle<P, R>(&mut self, method: &str, handler: impl Fn(P, &Call) -> Result<R, Error> + Send + Sync + 'static)
    where
        P: DeserializeOwned,
        R: Serialize,
    {
        let typed_handler = move |params: Value, call: &Call| {
            let params = typed(params).map_err(|problem| {
                Error::new("INVALID_PARAMS", format!("the params don't fit at {}: {}", problem.path(), problem.inner()))
            })?;
            Ok(serde_json::to_value(handler(params, call)?)?)
        };
        self.handlers.insert(method.to_owned(), Box::new(typed_handler));
    }

    /// Declares what outlives the process: subscriptions, timers, announced plugins.
    pub fn on_activate(&mut self, hook: impl Fn(&Host) -> Result<(), Error> + Send + Sync + 'static) {
        self.activate = Some(Box::new(hook));
    }

    /// The polite end.
    pub fn on_shutdown(&mut self, hook: impl Fn(&Host) -> Result<(), Error> + Send + Sync + 'static) {
        self.shutdown = Some(Box::new(hook));
    }

    /// Serves the host until it closes the pipe.
    pub fn run(self) -> ! {
        // A panic keeps its level in the log.
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string(), Value::Null)));
        let (input, out) = match keep_pipe() {
            Ok(pipe) => pipe,
            Err(problem) => {
                log(Level::Error, &format!("stdin and stdout can't be used: {problem}"), Value::Null);
                std::process::exit(1)
            }
        };
        let server = Arc::new(Server {
            plugin: self,
            host: Host::new(out),
            workers: Workers::default(),
            running: Mutex::default(),
            queues: Mutex::default(),
        });
        server.read(input);
        for signal in lock(&server.running).values() {
            signal.cancel();
        }
        server.host.leave()
    }
}

/// The pipe to the host on descriptors of our own. Whatever prints, in any language, goes to the log from now on; whatever
/// reads stdin finds its end.
fn keep_pipe() -> io::Result<(File, File)> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let out = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok((input.into(), out.into()))
}

struct Server {
    plugin: Plugin,
    host: Host,
    workers: Workers,
    /// Calls under way, by their id as JSON.
    running: Mutex<HashMap<String, Arc<Signal>>>,
    /// Deliveries that wait for the one before; a key is there as long as a thread works on it.
    queues: Mutex<HashMap<String, VecDeque<Job>>>,
}

impl Server {
    fn read(self: &Arc<Self>, input: File) {
        let mut input = BufReader::with_capacity(64 * 1024, input);
        let mut line = Vec::new();
        loop {
            match read_line(&mut input, &mut line, MAX_LINE_BYTES) {
                Ok(Line::Whole) => self.take(&line),
                Ok(Line::TooLong) => self.refuse("TOO_LARGE", "this line is longer than was agreed", &line),
                Ok(Line::End) | Err(_) => return,
            }
        }
    }

    fn take(self: &Arc<Self>, line: &[u8]) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            return self.refuse("PARSE", "this line is not JSON", line);
        };
        let Value::Object(mut message) = message else {
            return self.refuse("INVALID", NO_MESSAGE, line);
        };
        let id = message.remove("id");
        let valid_id = id.as_ref().map_or(true, |id| id.is_string() || id.is_i64() || id.is_u64() || id.is_null());
        if message.get("jsonrpc") != Some(&json!("2.0")) || !valid_id {
            return self.refuse("INVALID", NO_MESSAGE, line);
        }
        match (message.remove("method"), id) {
            (Some(Value::String(method)), Some(id)) => self.asked(&method, id, message),
            (Some(Value::String(method)), None) => self.notified(&method, message),
            (None, Some(id)) if message.contains_key("result") || message.contains_key("error") => {
                self.host.answered(&id, Value::Object(message));
            }
            _ => self.refuse("INVALID", NO_MESSAGE, line),
        }
    }

    fn notified(self: &Arc<Self>, method: &str, mut message: Map<String, Value>) {
        let params = message.remove("params").unwrap_or_else(|| json!({}));
        if method == "$/cancel" {
            if let Some(signal) = lock(&self.running).get(&params["id"].to_string()) {
                signal.cancel();
            }
        } else if self.plugin.handlers.contains_key(method) {
            let (server, method) = (self.clone(), method.to_owned());
            let call = Call::new(self.host.clone(), Value::Null, json!({}));
            self.start(Value::Null, Box::new(move || drop(server.perform(&method, params, &call))));
        }
    }

    fn asked(self: &Arc<Self>, method: &str, id: Value, mut message: Map<String, Value>) {
        if method == "ping" {
            return self.answer(&id, Ok(json!({})));
        }
        let params = message.remove("params").unwrap_or_else(|| json!({}));
        if !params.is_object() {
            return self.answer(&id, Err(Error::new("INVALID_PARAMS", "params must be an object")));
        }
        let call = Call::new(self.host.clone(), id.clone(), message.remove("_meta").unwrap_or_else(|| json!({})));
        lock(&self.running).insert(id.to_string(), call.signal().clone());
        let key = delivery_key(method, &params);
        let (server, method) = (self.clone(), method.to_owned());
        let job: Job = Box::new(move || {
            let outcome = server.perform(&method, params, &call);
            lock(&server.running).remove(&call.id().to_string());
            server.answer(call.id(), outcome);
        });
        match key {
            Some(key) => self.in_order(key, id, job),
            None => self.start(id, job),
        }
    }

    fn start(self: &Arc<Self>, id: Value, job: Job) {
        if let Err(problem) = self.workers.start(job) {
            lock(&self.running).remove(&id.to_string());
            self.answer(&id, Err(Error::new("BUSY", format!("no thread could be started: {problem}"))));
        }
    }

    /// Deliveries of one subscription come one after the other.
    fn in_order(self: &Arc<Self>, key: String, id: Value, job: Job) {
        let mut queues = lock(&self.queues);
        if let Some(queue) = queues.get_mut(&key) {
            queue.push_back(job);
            return;
        }
        queues.insert(key.clone(), VecDeque::from([job]));
        drop(queues);
        let server = self.clone();
        self.start(
            id,
            Box::new(move || {
                while let Some(next) = server.next_in(&key) {
                    next()
                }
            }),
        );
    }

    fn next_in(&self, key: &str) -> Option<Job> {
        let mut queues = lock(&self.queues);
        let next = queues.get_mut(key)?.pop_front();
        if next.is_none() {
            queues.remove(key);
        }
        next
    }

    /// Runs a handler; its panic is an error of this call alone.
    fn perform(&self, method: &str, params: Value, call: &Call) -> Result<Value, Error> {
        let outcome = catch_unwind(AssertUnwindSafe(|| match self.plugin.handlers.get(method) {
            Some(handler) => handler(params, call),
            None => self.lifecycle(method, params),
        }));
        match outcome {
            Ok(Ok(Value::Null)) => Ok(json!({})),
            Ok(outcome) => outcome,
            Err(panic) => Err(Error::new("INTERNAL", format!("the handler failed: {}", words_of(&*panic)))),
        }
    }

    fn lifecycle(&self, method: &str, params: Value) -> Result<Value, Error> {
        let hook = match method {
            "initialize" => return self.initialize(params),
            "activate" => &self.plugin.activate,
            "shutdown" => &self.plugin.shutdown,
            _ => return Err(Error::new("UNKNOWN_METHOD", format!("unknown method {method}"))),
        };
        hook.as_ref().map_or(Ok(()), |hook| hook(&self.host))?;
        Ok(json!({}))
    }

    fn initialize(&self, params: Value) -> Result<Value, Error> {
        let (min, max) = (params["protocol"]["min"].as_u64().unwrap_or(1), params["protocol"]["max"].as_u64().unwrap_or(1));
        if !(min..=max).contains(&PROTOCOL) {
            let problem = format!("the host speaks protocol {min} to {max}, this plugin {PROTOCOL} to {PROTOCOL}");
            return Err(Error::new("INVALID_PARAMS", problem));
        }
        let max_out = params["limits"]["maxLineBytes"].as_u64();
        let info: Info = typed(params).map_err(|problem| Error::new("INVALID_PARAMS", problem.to_string()))?;
        self.host.agreed(info, max_out);
        Ok(json!({ "protocol": PROTOCOL, "version": self.plugin.version, "activates": self.plugin.activate.is_some() }))
    }

    fn answer(&self, id: &Value, outcome: Result<Value, Error>) {
        let failed = match outcome {
            Ok(result) => self.host.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result })).err(),
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            let _ = self.host.send(&json!({ "jsonrpc": "2.0", "id": id, "error": error.body() }));
        }
    }

    fn refuse(&self, code: &str, reason: &str, line: &[u8]) {
        let start: String = String::from_utf8_lossy(&line[..line.len().min(320)]).chars().take(80).collect();
        self.answer(&Value::Null, Err(Error::new(code, format!("{reason}: {start}"))));
    }
}

/// Names what has to keep its order; none for ordinary calls.
fn delivery_key(method: &str, params: &Value) -> Option<String> {
    match method {
        "bus/message" => Some(format!("bus {}", params["subscription"])),
        "events/event" | "timers/fire" | "plugins/changed" => Some(format!("{method} {} {}", params["id"], params["kind"])),
        "process/output" | "process/exit" => Some(format!("process {}", params["id"])),
        _ => None,
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}
