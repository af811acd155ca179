//! What every step of a request sees, and the responses that the gateway makes itself.

pub mod call_reply;
pub mod context;
pub mod fields;
pub mod peer;
pub mod policies;
pub mod reply;
pub mod response;
pub mod vars;
pub mod whole;
