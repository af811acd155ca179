// SPDX-License-Identifier: Apache-2.0
//! The paths of WebSockets, and the WebSocket that a path names.

use std::fmt::Display;

use crate::sim::spoken::HttpVersion;

/// The path of a WebSocket to origins of the version `spoken`.
pub(super) fn path(spoken: HttpVersion, id: impl Display) -> String {
    format!("/talk/{}/{id}", spoken.upstream())
}

/// The WebSocket that a path names.
pub(crate) fn exchange_of(path: &str) -> Option<u64> {
    let rest = path.strip_prefix("/talk/one/").or_else(|| path.strip_prefix("/talk/two/"))?;
    rest.parse().ok()
}
