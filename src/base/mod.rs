//! Time, numbers, addresses, buffers and limits. Every other folder may import this one; it imports none.

pub mod address;
pub mod ascii;
pub mod buf;
pub mod canary;
pub mod date;
pub mod fault;
pub mod id;
pub mod limits;
pub mod marks;
pub mod rng;
pub mod scheme;
pub mod slots;
pub mod span;
pub mod tick;
pub mod wheel;

pub use address::Address;
pub use buf::{Buf, BufPool};
pub use fault::{Fault, FaultKind, Retry, Side};
pub use id::{ConsumerId, ListenerId, PolicyId, RouteId, UpstreamId};
pub use rng::Rng;
pub use scheme::Scheme;
pub use span::Span;
pub use tick::{Tick, Wall};
pub use wheel::{Timer, Wheel};
