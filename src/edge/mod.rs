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

pub mod accept;
pub mod body;
pub mod bound;
mod carrier;
pub mod connection;
pub mod converse;
pub mod dial;
pub mod duplex;
pub mod echo;
pub mod exchange;
pub mod forward;
pub mod gate;
pub mod grpc;
pub mod h1;
mod h2;
pub mod lease;
pub mod prepare;
pub mod record;
pub mod registry;
pub mod relay;
pub mod reply;
pub mod respond;
pub mod scratch;
pub mod serve;
pub mod shard;
pub mod signal;
pub mod stream;
pub mod subrequest;
pub mod tunnel;
pub mod upgrade;
pub mod upstream;
pub mod vars;
pub mod websocket;
pub mod whole;
