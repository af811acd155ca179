// SPDX-License-Identifier: Apache-2.0
//! Hot. Flow-control windows (RFC 9113 section 5.2 and 6.9).
//!
//! ```text
//!   peer ── DATA ──► available ── handed out ──► (the edge's buffer) ── released ──► pending ── half a window ──► peer
//!                                                                                              WINDOW_UPDATE
//! ```
//! What was announced is always `available` + what was handed out and not released + `pending`, so that a reader who
//! does not release stops the sender.

use crate::wire::h2::frame::MAX_31;

/// How much the peer lets us send. May be negative after it lowered its initial window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWindow(i32);

/// A window above 2^31-1: FLOW_CONTROL_ERROR (RFC 9113 section 6.9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowOverflow;

impl SendWindow {
    /// A window of `size`, at most 2^31-1.
    pub const fn new(size: u32) -> SendWindow {
        SendWindow((size & MAX_31) as i32)
    }

    /// Bytes that may be sent now.
    pub const fn room(self) -> usize {
        if self.0 > 0 { self.0 as usize } else { 0 }
    }

    /// Counts sent bytes, at most `room`.
    pub const fn spend(&mut self, count: usize) {
        debug_assert!(count <= self.room());
        self.0 -= count as i32;
    }

    /// WINDOW_UPDATE, or a change of the initial window by `by`.
    pub fn shift(&mut self, by: i64) -> Result<(), WindowOverflow> {
        self.0 = i32::try_from(i64::from(self.0) + by).map_err(|_| WindowOverflow)?;
        Ok(())
    }
}

/// How much we let the peer send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveWindow {
    /// What it may still send; negative only where we lowered the initial window.
    available: i32,
    /// Released but not yet announced.
    pending: u32,
}

impl ReceiveWindow {
    /// A window of `size`, at most 2^31-1.
    pub const fn new(size: u32) -> ReceiveWindow {
        ReceiveWindow { available: (size & MAX_31) as i32, pending: 0 }
    }

    /// Counts a received frame. An error means that the peer sent more than we allowed; an empty frame always is (RFC
    /// 9113 section 6.9.1).
    pub const fn receive(&mut self, count: u32) -> Result<(), WindowOverflow> {
        if count > 0 && count as i64 > self.available as i64 {
            return Err(WindowOverflow);
        }
        self.available -= count as i32;
        Ok(())
    }

    /// Gives `count` received bytes free. The increment to announce, once half of `size` has come together.
    pub const fn release(&mut self, count: u32, size: u32) -> Option<u32> {
        self.pending += count;
        if self.pending == 0 || self.pending < size / 2 {
            return None;
        }
        let increment = self.pending;
        self.pending = 0;
        self.available += increment as i32;
        Some(increment)
    }

    /// A change of the initial window.
    pub const fn shift(&mut self, by: i32) {
        self.available = self.available.saturating_add(by);
    }

    /// What the peer may still send, and what was released and not announced.
    pub const fn sum(self) -> i64 {
        self.available as i64 + self.pending as i64
    }

    /// What the peer may still send.
    #[cfg(test)]
    pub const fn available(self) -> i32 {
        self.available
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9113 section 6.9.1: no window above 2^31-1.
    #[test]
    fn overflow_is_found() {
        let mut window = SendWindow::new(1);
        assert_eq!(window.shift(i64::from(MAX_31)), Err(WindowOverflow));
        assert_eq!(window.shift(i64::from(MAX_31) - 1), Ok(()));
        assert_eq!(window.room(), MAX_31 as usize);
    }

    /// RFC 9113 section 6.9.2: a window may become negative, and nothing is sent until it is positive again.
    #[test]
    fn a_window_below_zero_has_no_room() {
        let mut window = SendWindow::new(100);
        window.spend(60);
        window.shift(-100).unwrap();
        assert_eq!(window.room(), 0);
        window.shift(60).unwrap();
        assert_eq!(window.room(), 0);
        window.shift(1).unwrap();
        assert_eq!(window.room(), 1);
    }

    #[test]
    fn released_bytes_are_announced_by_halves() {
        let mut window = ReceiveWindow::new(100);
        assert_eq!(window.receive(100), Ok(()));
        assert_eq!(window.receive(1), Err(WindowOverflow));
        assert_eq!(window.release(49, 100), None);
        assert_eq!(window.release(1, 100), Some(50));
        assert_eq!(window.available(), 50);
        assert_eq!(window.receive(51), Err(WindowOverflow));
        assert_eq!(window.release(0, 0), None);
        window.shift(-60);
        assert_eq!((window.available(), window.receive(0), window.receive(1)), (-10, Ok(()), Err(WindowOverflow)));
    }
}
