// SPDX-License-Identifier: Apache-2.0
//! What must agree between any two calls of a connection: streams and flow-control windows. The simulator checks it.

use crate::base::Tick;
use crate::wire::h2::connection::Connection;
use crate::wire::h2::connection::reading::Reading;
use crate::wire::h2::settings;
use crate::wire::h2::stream::{Half, Key};

impl Connection {
    /// Names what does not agree. Every byte of a window is either still the peer's to send, or arriving, or held by
    /// an exchange, or released and not announced yet (RFC 9113 section 5.2).
    pub fn check(&self) -> Result<(), &'static str> {
        if self.failed.is_some() {
            return Ok(());
        }
        self.streams.check()?;
        let (arriving, into) = match self.reading {
            Reading::Padding(header, key) => (header.len, Some(key)),
            Reading::Content(content) => (content.left, Some(content.key)),
            Reading::Preface | Reading::Header | Reading::Payload(_) | Reading::Skip(_) => (0, None),
        };
        let held: i64 = self.streams.iter_from(0).map(|(_, stream)| i64::from(stream.held)).sum();
        if self.receive_window.sum() + held + i64::from(arriving) != i64::from(self.connection_window()) {
            return Err("bytes of a connection's window are lost or twice there");
        }
        // Until the peer knows a smaller window, it may use the usual one.
        let unsettled = self.unacknowledged_since != Tick::NEVER;
        let more = if unsettled { settings::WINDOW.saturating_sub(self.config.first_window()) } else { 0 };
        for (key, stream) in self.streams.iter_from(0).filter(|(_, stream)| stream.receiving != Half::Ended) {
            let arriving = if into == Some(key) { arriving } else { 0 };
            let sum = stream.receive_window.sum() + i64::from(stream.held) + i64::from(arriving);
            if sum != i64::from(stream.window) + i64::from(more) {
                return Err("bytes of a stream's window are lost or twice there");
            }
        }
        Ok(())
    }

    /// Bytes of a stream that were handed out and not released; `None` where the stream was forgotten.
    pub fn held(&self, key: Key) -> Option<usize> {
        self.streams.get(key).map(|stream| stream.held as usize)
    }
}
