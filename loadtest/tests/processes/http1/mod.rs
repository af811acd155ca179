// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 on both sides.

mod broken_origins;
mod exchanges;
mod slow_and_many_clients;
mod slow_peers;
