// SPDX-License-Identifier: Apache-2.0
//! Which connection to which endpoint: kept connections, new ones, streams of HTTP/2.

pub(crate) mod acquire;
pub(crate) mod carrier;
pub(crate) mod dial;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod h2_stream;
pub(crate) mod load;
pub(crate) mod pool;
pub(crate) mod postbox;
