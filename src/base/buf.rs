// SPDX-License-Identifier: Apache-2.0
//! Hot. A byte buffer that is lent to the kernel and given back, and the shard's pool of such buffers.
//!
//! `Buf` is owned memory with a filled window `start..end`: reads append behind the window, writes consume from its
//! front, and a head can be put in front of it (headroom). Its memory is always initialised, and only
//! `shift_to` moves bytes in it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::limits;

/// Owned bytes with a filled window.
#[derive(Debug, Default)]
pub struct Buf {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buf {
    /// A buffer without memory. Callers must not read into it.
    pub fn empty() -> Buf {
        Buf::default()
    }

    /// Fresh zeroed memory of `capacity` bytes, window empty at zero.
    pub fn with_capacity(capacity: usize) -> Buf {
        Buf { bytes: vec![0; capacity].into_boxed_slice(), start: 0, end: 0 }
    }

    /// A buffer filled with a copy of `bytes`.
    pub fn copied(bytes: &[u8]) -> Buf {
        Buf { bytes: bytes.into(), start: 0, end: bytes.len() }
    }

    /// All memory it owns, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The filled window.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The filled window, to change in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Bytes in the filled window.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True where the window is empty.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Memory behind the window that the next read may fill.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Bytes of memory behind the window.
    pub fn spare(&self) -> usize {
        self.bytes.len() - self.end
    }

    /// Bytes of memory before the window.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Counts `count` bytes behind the window as filled.
    pub fn fill(&mut self, count: usize) {
        assert!(count <= self.spare(), "filled past the end of a buffer");
        self.end += count;
    }

    /// Drops `count` bytes from the front of the window.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed more than the window holds");
        self.start += count;
    }

    /// Keeps the first `len` bytes of the window.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    /// Empties the window and puts it at `headroom` (or at the end of the memory, where that is smaller).
    pub fn reset(&mut self, headroom: usize) {
        self.start = headroom.min(self.bytes.len());
        self.end = self.start;
    }

    /// Moves the window so that it starts at `headroom`; a no-op where it already does. Does nothing where the window
    /// would not fit.
    pub fn shift_to(&mut self, headroom: usize) {
        let len = self.len();
        if self.start == headroom || headroom + len > self.bytes.len() {
            return;
        }
        self.bytes.copy_within(self.start..self.end, headroom);
        self.start = headroom;
        self.end = headroom + len;
    }

    /// Puts `bytes` directly before the window. False, and nothing done, where the headroom is too small.
    #[must_use]
    pub fn prepend(&mut self, bytes: &[u8]) -> bool {
        let Some(start) = self.start.checked_sub(bytes.len()) else { return false };
        self.bytes[start..self.start].copy_from_slice(bytes);
        self.start = start;
        true
    }

    /// Appends `bytes` behind the window. False, and nothing done, where the spare memory is too small.
    #[must_use]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let Some(target) = self.bytes.get_mut(self.end..self.end + bytes.len()) else { return false };
        target.copy_from_slice(bytes);
        self.end += bytes.len();
        true
    }
}

/// A shard's free buffers by class. Cheap to clone; never leaves its thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct BufPool {
    free: Rc<[RefCell<Vec<Buf>>; limits::BUF_CLASSES.len()]>,
    /// Of the size `FIRST_BUF`.
    first: Rc<RefCell<Vec<Buf>>>,
}

impl BufPool {
    /// A pool with nothing in it.
    pub(crate) fn new() -> BufPool {
        BufPool::default()
    }

    /// An empty buffer of at least `size` bytes (of the largest class where `size` is above all), window at zero.
    pub(crate) fn take(&self, size: usize) -> Buf {
        let class = class_of(size);
        let reused = self.free[class].borrow_mut().pop();
        let mut buf = reused.unwrap_or_else(|| Buf::with_capacity(limits::BUF_CLASSES[class]));
        buf.reset(0);
        buf
    }

    /// As `take`, but not more than `FIRST_BUF` where that is enough.
    pub(crate) fn take_first(&self, size: usize) -> Buf {
        if size > limits::FIRST_BUF {
            return self.take(size);
        }
        let reused = self.first.borrow_mut().pop();
        let mut buf = reused.unwrap_or_else(|| Buf::with_capacity(limits::FIRST_BUF));
        buf.reset(0);
        buf
    }

    /// Frees all free buffers of the pool.
    pub(crate) fn trim(&self) {
        *self.first.borrow_mut() = Vec::new();
        self.free.iter().for_each(|free| *free.borrow_mut() = Vec::new());
    }

    /// Gives a buffer back to the pool. It is freed where the pool is full or has no class of its size.
    pub(crate) fn put(&self, buf: Buf) {
        let Some(class) = limits::BUF_CLASSES.iter().position(|size| *size == buf.capacity()) else {
            let mut first = self.first.borrow_mut();
            if buf.capacity() == limits::FIRST_BUF && first.len() < limits::FIRST_BUF_KEEP {
                first.push(buf);
            }
            return;
        };
        let mut free = self.free[class].borrow_mut();
        if free.len() < limits::POOL_KEEP[class] {
            free.push(buf);
        }
    }
}

fn class_of(size: usize) -> usize {
    let fitting = limits::BUF_CLASSES.iter().position(|class| size <= *class);
    fitting.unwrap_or(limits::BUF_CLASSES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_moves_as_told() {
        let mut buf = Buf::with_capacity(16);
        buf.reset(4);
        assert!(buf.append(b"body"));
        assert!(buf.prepend(b"head"));
        assert!(!buf.prepend(b"x"));
        assert_eq!(buf.filled(), b"headbody");
        buf.consume(4);
        buf.shift_to(0);
        assert_eq!((buf.filled(), buf.spare()), (&b"body"[..], 12));
        assert!(!buf.append(&[0; 13]));
    }

    #[test]
    fn pool_gives_back_what_was_put() {
        let pool = BufPool::new();
        let buf = pool.take(5_000);
        assert_eq!(buf.capacity(), 16 * 1024);
        let place = buf.filled().as_ptr();
        pool.put(buf);
        assert_eq!(pool.take(16 * 1024).filled().as_ptr(), place);
        pool.put(Buf::with_capacity(16 * 1024));
        let first = pool.take_first(1);
        assert_eq!(first.capacity(), limits::FIRST_BUF);
        let place = first.filled().as_ptr();
        pool.put(first);
        assert_eq!(pool.take_first(limits::FIRST_BUF).filled().as_ptr(), place);
        assert_eq!(pool.take_first(limits::FIRST_BUF + 1).capacity(), limits::BUF_CLASSES[0]);
        pool.trim();
        assert_eq!(pool.first.borrow().capacity(), 0);
        assert!(pool.free.iter().all(|free| free.borrow().capacity() == 0));
        assert_eq!(pool.take(usize::MAX).capacity(), 256 * 1024);
    }
}
