// SPDX-License-Identifier: Apache-2.0
//! Client connections from accept to close, in HTTP/1 and HTTP/2.

pub(crate) mod accept;
pub(crate) mod acceptor;
pub(crate) mod connection;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod live;
mod notices;
pub(crate) mod relief;
mod trace;
