// SPDX-License-Identifier: Apache-2.0
//! What both sides of one version of HTTP need: bodies of HTTP/1, connections and streams of HTTP/2.

pub(crate) mod h1;
pub(crate) mod h2;
