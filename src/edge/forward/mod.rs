//! To an upstream and back: attempts, the conversation with an endpoint, its response, upgrades, subrequests.

pub mod attempts;
pub mod calls;
pub mod converse;
pub mod destination;
pub mod fetch;
pub mod respond;
pub mod retry;
pub mod subrequest;
pub mod tunnel;
pub mod upgrade;
pub mod websocket;
