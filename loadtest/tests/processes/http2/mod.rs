// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 on either side.

mod broken_origins;
mod connection_life;
mod hostile_clients;
mod many_streams;
mod priorities;
mod upstream_connections;
mod upstream_streams;
mod version_combinations;
