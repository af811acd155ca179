//! What one shard owns: the plan it runs with that plan's state, open client connections, memory to work in, the
//! access log.

pub mod attributes;
pub mod bound;
pub mod log;
pub mod peers;
pub mod record;
pub mod registry;
pub mod report;
pub mod scratch;
pub mod state;
pub mod transcoders;
pub mod waiters;
