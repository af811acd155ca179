//! Bytes to meaning and back, without I/O: heads, targets, framing, hop-by-hop rules, PROXY protocol.
//!
//! Nothing here waits, reads a clock or knows a socket. Parsers give the same answer for any split of their input and
//! never panic.

pub mod field;
pub mod head;
pub mod patch;
pub mod template;
