//! What every step of a request sees, and the responses that the gateway makes itself.

pub mod context;
pub mod reply;
pub mod vars;
pub mod whole;
