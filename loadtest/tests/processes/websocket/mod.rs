// SPDX-License-Identifier: Apache-2.0
//! WebSocket and other upgraded connections.

mod conformance;
mod limits;
mod peers;
mod tunnels;
mod version_combinations;
