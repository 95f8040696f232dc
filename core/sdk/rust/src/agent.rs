//! An agent: its actions as functions. The replies and their status codes are made here.

use crate::call::Call;
use crate::error::Error;
use crate::host::typed;
use crate::plugin::Plugin;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

const ABORTED: u8 = 1;
const UNKNOWN_ACTION: u8 = 2;
const MISSING_DATA: u8 = 3;
const INVALID_DATA: u8 = 4;

/// Ends an action with a status: 1 aborted, 3 missing data, 4 invalid data, 5 unknown error.
#[derive(Debug)]
pub struct ActionError {
    status: u8,
    message: String,
    data: Value,
}

impl ActionError {
    /// With status 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { status: ABORTED, message: message.into(), data: json!({}) }
    }

    pub fn status(self, status: u8) -> Self {
        Self { status, ..self }
    }

    pub fn data(self, data: Value) -> Self {
        Self { data, ..self }
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ActionError {}

/// The request behind an invocation, as far as the one who invokes tells.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Request {
    pub id: String,
    pub caller: String,
    pub sender: String,
    pub collective: String,
    /// Unix seconds.
    pub time: i64,
    /// Seconds that the request may be old.
    pub ttl: i64,
}

/// What an action knows about its call; all of [`Call`] is there as well.
pub struct ActionCall<'a> {
    pub agent: String,
    pub action: String,
    pub request: Request,
    call: &'a Call,
}

impl Deref for ActionCall<'_> {
    type Target = Call;

    fn deref(&self) -> &Call {
        self.call
    }
}

#[derive(Deserialize)]
struct Invocation {
    agent: String,
    action: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    request: Request,
}

type Action = Box<dyn Fn(Value, &ActionCall) -> Result<Value, Error> + Send + Sync>;

/// A plugin of kind `agent`; all of [`Plugin`] is there as well.
pub struct Agent {
    name: String,
    actions: HashMap<String, Action>,
    plugin: Plugin,
}

impl Agent {
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), actions: HashMap::new(), plugin: Plugin::new(version) }
    }

    /// Registers an action by its name in the DDL. Its input is a struct that serde reads, its result the data of the reply.
    pub fn action<I, R>(&mut self, name: &str, action: impl Fn(I, &ActionCall) -> Result<R, Error> + Send + Sync + 'static)
    where
        I: DeserializeOwned,
        R: Serialize,
    {
        let typed_action = move |input: Value, call: &ActionCall| {
            let input = typed(input).map_err(|problem| wrong_input(&problem))?;
            Ok(serde_json::to_value(action(input, call)?)?)
        };
        self.actions.insert(name.to_owned(), Box::new(typed_action));
    }

    /// Serves the host until it closes the pipe.
    pub fn run(self) -> ! {
        let Self { name, actions, mut plugin } = self;
        plugin.handle("agent/invoke", move |invocation: Invocation, call| invoke(&name, &actions, invocation, call));
        plugin.run()
    }
}

impl Deref for Agent {
    type Target = Plugin;

    fn deref(&self) -> &Plugin {
        &self.plugin
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Plugin {
        &mut self.plugin
    }
}

fn invoke(name: &str, actions: &HashMap<String, Action>, invocation: Invocation, call: &Call) -> Result<Value, Error> {
    let Invocation { agent, action, data, request } = invocation;
    let Some(perform) = actions.get(&action) else {
        return Ok(reply(UNKNOWN_ACTION, &format!("Unknown action {action} for agent {name}"), json!({})));
    };
    let input = if data.is_null() { json!({}) } else { data };
    match perform(input, &ActionCall { agent, action, request, call }) {
        Ok(data) => Ok(reply(0, "OK", if data.is_null() { json!({}) } else { data })),
        Err(error) => match error.source.as_ref().and_then(|source| source.downcast_ref::<ActionError>()) {
            Some(ActionError { status, message, data }) => Ok(reply(*status, message, data.clone())),
            None => Err(error),
        },
    }
}

fn wrong_input(problem: &serde_path_to_error::Error<serde_json::Error>) -> ActionError {
    let what = problem.inner().to_string();
    if what.starts_with("missing field") {
        return ActionError::new(format!("the input lacks something: {what}")).status(MISSING_DATA);
    }
    ActionError::new(format!("input {}: {what}", problem.path())).status(INVALID_DATA)
}

fn reply(status: u8, message: &str, data: Value) -> Value {
    json!({ "statuscode": status, "statusmsg": message, "data": data })
}
