// SPDX-License-Identifier: Apache-2.0
//! Hot. A `Buf` while it is lent to the kernel.

use monoio::buf::{IoBuf, IoBufMut};

use crate::base::Buf;

/// Lends the window of a buffer to a send, or the spare memory behind it to a receive.
pub(super) struct Lent(pub(super) Buf);

// SAFETY: the bytes of a `Buf` are on the heap and stay where they are when the `Buf` moves; `Lent` gives nobody
// access to change or free them while the operation owns it; and the window is always initialised.
unsafe impl IoBuf for Lent {
    fn read_ptr(&self) -> *const u8 {
        self.0.filled().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: as above; pointer and length describe the spare memory, which belongs to the buffer alone.
unsafe impl IoBufMut for Lent {
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.spare_mut().as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.0.spare()
    }

    unsafe fn set_init(&mut self, count: usize) {
        self.0.fill(count);
    }
}
