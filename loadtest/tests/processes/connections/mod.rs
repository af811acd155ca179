// SPDX-License-Identifier: Apache-2.0
//! Where connections come from and go to, with and without TLS.

mod sockets_and_addresses;
mod tls;
