// SPDX-License-Identifier: Apache-2.0
//! Sign-in of browsers with OpenID Connect: what shards and the control plane have in common. All of it is pure.
//!
//! Nothing of a session lies on a server: it is sealed into cookies (`seal`, `cookie`, `session`). While a login is
//! under way a cookie of its own binds it to the browser (`ticket`). What the issuer says is verified in `id_token`,
//! sessions that ended before their time are known by `revoked`, and `message` is what policies ask and are answered.

pub(crate) mod cookie;
pub(crate) mod id_token;
pub(crate) mod message;
pub(crate) mod return_target;
pub(crate) mod revoked;
pub(crate) mod seal;
pub(crate) mod session;
pub(crate) mod ticket;

pub(crate) use message::{LoginAnswer, LoginFault, LoginStep};
pub(crate) use revoked::{Revocation, Revocations, Revoked, Whom};
pub(crate) use seal::{Purpose, SealingKeys};
pub(crate) use session::Session;
pub(crate) use ticket::Ticket;
