// SPDX-License-Identifier: Apache-2.0
//! Hot. The descriptor behind a monoio stream.

use std::os::fd::{AsRawFd, BorrowedFd};

use monoio::net::TcpStream;

/// The descriptor of a monoio stream, for calls that do not wait. Must not be used after the stream is dropped.
pub(super) fn descriptor(socket: &TcpStream) -> BorrowedFd<'static> {
    // SAFETY: the callers keep it beside the stream (or, in a `Flow`, forget it when the stream is dropped), and the
    // descriptor stays open as long as the stream.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}
