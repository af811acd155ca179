// SPDX-License-Identifier: Apache-2.0
//! SETTINGS (RFC 9113 section 6.5), in both directions.
//!
//! A frame is read as a whole and its values are applied together, so that a frame with thousands of entries costs one
//! change of windows.

use crate::wire::h2::frame::{self, ErrorCode, Kind, MAX_31};
use crate::wire::h2::hpack::TABLE_BYTES;

/// SETTINGS_HEADER_TABLE_SIZE
pub const HEADER_TABLE_SIZE: u16 = 1;
/// SETTINGS_ENABLE_PUSH
pub const ENABLE_PUSH: u16 = 2;
/// SETTINGS_MAX_CONCURRENT_STREAMS
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// SETTINGS_INITIAL_WINDOW_SIZE
pub const INITIAL_WINDOW_SIZE: u16 = 4;
/// SETTINGS_MAX_FRAME_SIZE
pub const MAX_FRAME_SIZE: u16 = 5;
/// SETTINGS_MAX_HEADER_LIST_SIZE
pub const MAX_HEADER_LIST_SIZE: u16 = 6;
/// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 section 3)
pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
/// SETTINGS_NO_RFC7540_PRIORITIES (RFC 9218 section 2.1)
pub const NO_RFC7540_PRIORITIES: u16 = 9;

/// The window that streams and the connection start with (RFC 9113 section 6.9.2).
pub const WINDOW: u32 = 65_535;

/// What one side allows the other. The default is what holds before the first SETTINGS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the dynamic table.
    pub header_table: u32,
    /// Streams at a time.
    pub concurrent: u32,
    /// A new stream's window.
    pub window: u32,
    /// Bytes of a frame's payload.
    pub payload_max: u32,
    /// Bytes of a header list as RFC 9113 section 6.5.2 counts them.
    pub header_list: u32,
    /// CONNECT may name a protocol (RFC 8441).
    pub connect_protocol: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            header_table: TABLE_BYTES as u32,
            concurrent: u32::MAX,
            window: WINDOW,
            payload_max: frame::PAYLOAD_MAX as u32,
            header_list: u32::MAX,
            connect_protocol: false,
        }
    }
}

/// Who sent a SETTINGS frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A client.
    Client,
    /// A server.
    Server,
}

impl Settings {
    /// The settings after a frame's payload, whose length is a multiple of six. `lowest_table` is the smallest table
    /// size that was named, which the encoder must pass through (RFC 7541 section 4.2). An error is one of the
    /// connection.
    pub fn after(mut self, payload: &[u8], from: From, lowest_table: &mut u32) -> Result<Settings, ErrorCode> {
        for entry in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            match (name, value) {
                (HEADER_TABLE_SIZE, _) => {
                    self.header_table = value;
                    *lowest_table = value.min(*lowest_table);
                }
                // We push nothing, so a client's wish does not matter; a server must not claim to take pushes.
                (ENABLE_PUSH, 0) => {}
                (ENABLE_PUSH, 1) if from == From::Client => {}
                (ENABLE_PUSH, _) => return Err(ErrorCode::Protocol),
                (MAX_CONCURRENT_STREAMS, _) => self.concurrent = value,
                (INITIAL_WINDOW_SIZE, 0..=MAX_31) => self.window = value,
                (INITIAL_WINDOW_SIZE, _) => return Err(ErrorCode::FlowControl),
                (MAX_FRAME_SIZE, 0x4000..=0x00ff_ffff) => self.payload_max = value,
                (MAX_FRAME_SIZE, _) => return Err(ErrorCode::Protocol),
                (MAX_HEADER_LIST_SIZE, _) => self.header_list = value,
                (ENABLE_CONNECT_PROTOCOL, 1) => self.connect_protocol = true,
                // It cannot be taken back (RFC 8441 section 3).
                (ENABLE_CONNECT_PROTOCOL, 0) if !self.connect_protocol => {}
                (ENABLE_CONNECT_PROTOCOL, _) => return Err(ErrorCode::Protocol),
                (NO_RFC7540_PRIORITIES, 0 | 1) => {}
                (NO_RFC7540_PRIORITIES, _) => return Err(ErrorCode::Protocol),
                (_, _) => {}
            }
        }
        Ok(self)
    }
}

/// Appends a SETTINGS frame.
pub fn write(out: &mut Vec<u8>, entries: &[(u16, u32)]) {
    frame::header(out, entries.len() * 6, Kind::Settings, 0, 0);
    for (name, value) in entries {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(entries: &[(u16, u32)], from: From) -> Result<Settings, ErrorCode> {
        let mut out = Vec::new();
        write(&mut out, entries);
        Settings::default().after(&out[frame::HEADER_BYTES..], from, &mut u32::MAX.clone())
    }

    #[test]
    fn values_are_taken() {
        let entries = [(1, 0), (3, 7), (4, MAX_31), (5, 0x00ff_ffff), (6, 9), (8, 1), (9, 1), (0xfafa, 3), (4, 5)];
        let expected = Settings {
            header_table: 0,
            concurrent: 7,
            window: 5,
            payload_max: 0x00ff_ffff,
            header_list: 9,
            connect_protocol: true,
        };
        assert_eq!(after(&entries, From::Client), Ok(expected));
        assert_eq!(after(&[], From::Server), Ok(Settings::default()));
    }

    /// RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1.
    #[test]
    fn values_that_are_not_allowed() {
        let wrong = [(2, 2), (5, 0x3fff), (5, 0x0100_0000), (8, 2), (9, 2)];
        for entry in wrong {
            assert_eq!(after(&[entry], From::Client), Err(ErrorCode::Protocol), "{entry:?}");
        }
        assert_eq!(after(&[(8, 1), (8, 0)], From::Server), Err(ErrorCode::Protocol));
        assert_eq!(after(&[(2, 1)], From::Server), Err(ErrorCode::Protocol));
        assert!(after(&[(2, 1)], From::Client).is_ok());
        assert_eq!(after(&[(4, MAX_31 + 1)], From::Client), Err(ErrorCode::FlowControl));
    }

    #[test]
    fn the_smallest_table_is_remembered() {
        let mut out = Vec::new();
        write(&mut out, &[(1, 10), (1, 4_096)]);
        let mut lowest = u32::MAX;
        let settings = Settings::default().after(&out[frame::HEADER_BYTES..], From::Client, &mut lowest).unwrap();
        assert_eq!((lowest, settings.header_table), (10, 4_096));
    }
}
