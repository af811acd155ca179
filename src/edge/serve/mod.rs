//! The path of a request on one screen (`path`), its policies, and the actions that forward nothing.

pub mod echo;
pub mod path;
pub mod policies;
pub mod prepare;
pub mod redirect;
