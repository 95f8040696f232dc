//! Errors with a stable code, as they cross the pipe.

use serde_json::{json, Map, Value};
use std::fmt;

const INTERNAL: &str = "INTERNAL";
const NUMBERS: [(&str, i64); 15] = [
    ("PARSE", -32700),
    ("INVALID", -32600),
    ("UNKNOWN_METHOD", -32601),
    ("INVALID_PARAMS", -32602),
    (INTERNAL, -32603),
    ("BUSY", -32001),
    ("DEADLINE", -32002),
    ("NOT_GRANTED", -32003),
    ("GONE", -32004),
    ("DEPTH", -32005),
    ("CONTRACT", -32006),
    ("TOO_LARGE", -32007),
    ("NOT_FOUND", -32008),
    ("UNAVAILABLE", -32009),
    ("CANCELLED", -32800),
];

/// Answers a call when it is returned; [`Host::call`](crate::Host::call) returns one when the host refuses.
///
/// Any error of another kind becomes one by `?`, with the code `INTERNAL`. That is why this is none of the standard library's.
pub struct Error {
    pub code: String,
    pub message: String,
    pub data: Map<String, Value>,
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), data: Map::new(), source: None }
    }

    pub(crate) fn cancelled() -> Self {
        Self::new("CANCELLED", "cancelled")
    }

    pub(crate) fn deadline() -> Self {
        Self::new("DEADLINE", "the time for it is over")
    }

    pub(crate) fn body(&self) -> Value {
        let number = NUMBERS.iter().find(|(name, _)| *name == self.code).map_or(-32603, |(_, number)| *number);
        let mut data = self.data.clone();
        data.insert("code".to_owned(), json!(self.code));
        json!({ "code": number, "message": self.message, "data": data })
    }

    pub(crate) fn from_body(body: &Value) -> Self {
        let data = body["data"].as_object().cloned().unwrap_or_default();
        let code = data.get("code").and_then(Value::as_str).unwrap_or(INTERNAL).to_owned();
        Self { code, message: body["message"].as_str().unwrap_or_default().to_owned(), data, source: None }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(source: E) -> Self {
        let message = source.to_string();
        Self { source: Some(Box::new(source)), ..Self::new(INTERNAL, message) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}
