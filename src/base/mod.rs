// SPDX-License-Identifier: Apache-2.0
//! Time, numbers, addresses, buffers and limits. Every other folder may import this one; it imports none.

pub(crate) mod address;
pub(crate) mod ascii;
pub(crate) mod buf;
pub(crate) mod canary;
pub(crate) mod cause;
pub(crate) mod csv;
pub(crate) mod date;
pub(crate) mod fault;
pub(crate) mod id;
pub(crate) mod limits;
pub(crate) mod marks;
pub(crate) mod network_set;
pub(crate) mod pace;
pub(crate) mod percent;
pub(crate) mod rng;
pub(crate) mod scheme;
pub(crate) mod slots;
pub(crate) mod span;
pub(crate) mod tick;
pub(crate) mod wheel;

pub use address::Address;
pub use buf::Buf;
pub(crate) use buf::BufPool;
pub(crate) use cause::Cause;
pub(crate) use fault::{Fault, FaultKind, Retry, Side};
pub(crate) use id::{AppId, ConsumerId, CredentialId, PlanId, PolicyId, ProductId, TenantId, UpstreamId, VersionId};
pub use id::{ListenerId, RouteId};
pub(crate) use network_set::NetworkSet;
pub(crate) use pace::{Judge, Pace, Verdict};
pub(crate) use rng::Rng;
pub use scheme::Scheme;
pub use span::Span;
pub use tick::Tick;
pub use tick::Wall;
pub(crate) use wheel::{Timer, Wheel};
