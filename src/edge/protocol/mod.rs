// SPDX-License-Identifier: Apache-2.0
//! What both sides of an HTTP version need: HTTP/1 bodies, HTTP/2 connections and streams.

pub(crate) mod h1;
pub(crate) mod h2;
