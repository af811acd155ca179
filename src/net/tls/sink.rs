// SPDX-License-Identifier: Apache-2.0
//! Hot. Where rustls writes ciphertext to: the spare memory of a buffer.

use std::io::{self, IoSlice, Write};

use crate::base::Buf;

/// Appends to a buffer as much as fits.
pub(super) struct Sink<'a>(pub(super) &'a mut Buf);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.0.spare());
        self.0.spare_mut()[..count].copy_from_slice(&bytes[..count]);
        self.0.fill(count);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut total = 0;
        for slice in slices {
            let count = self.write(slice)?;
            total += count;
            if count < slice.len() {
                break;
            }
        }
        Ok(total)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
