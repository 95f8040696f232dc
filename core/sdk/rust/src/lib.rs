//! The SDK for plugin authors in Rust.
//!
//! ```no_run
//! use muster::{ActionCall, ActionError, Agent, Error};
//! use serde::Deserialize;
//! use serde_json::{json, Value};
//!
//! #[derive(Deserialize)]
//! struct Hello {
//!     name: String,
//! }
//!
//! fn hello(input: Hello, _call: &ActionCall) -> Result<Value, Error> {
//!     if input.name == "nobody" {
//!         return Err(ActionError::new("nobody is not somebody to greet").into());
//!     }
//!     Ok(json!({ "greeting": format!("Hello, {}!", input.name) }))
//! }
//!
//! let mut agent = Agent::new("greeter", "1.0.0");
//! agent.action("hello", hello);
//! agent.run();
//! ```
//!
//! Every call runs on a thread of its own and may block. What is printed goes to the log. Any error that is passed on with
//! `?` answers the call; a panic ends the call and not the plugin. The protocol is in core/protocol/README.md.

mod agent;
mod bytes;
mod call;
mod error;
mod host;
mod lines;
mod log;
mod plugin;
mod workers;

pub use agent::{ActionCall, ActionError, Agent, Request};
pub use bytes::Bytes;
pub use call::Call;
pub use error::Error;
pub use host::{Host, Info};
pub use log::{log, Level};
pub use plugin::Plugin;
