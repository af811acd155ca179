//! The data plane: shards, connections, exchanges. Async, generic over `Net`, blind to the control plane.
//!
//! ```text
//! shard ─ accept ─ connection ─ h1 ─ serve ─ gate (policies)
//!                                     │
//!                                     ├─ reply, echo                 answers of our own
//!                                     └─ forward ─ upstream, dial    which endpoint, which connection
//!                                          └─ converse ─ respond ─ relay, tunnel (websocket)
//! ```
//! `serve` is the path of a request on one screen. `stream` is the seam to the protocol versions: an exchange sees a
//! head, a body source and a client to answer, and does not know what carries them.

pub mod adapt;
pub mod client;
pub mod exchange;
pub mod flow;
pub mod forward;
pub mod protocol;
pub mod serve;
pub mod shard;
pub mod upstream;
