// SPDX-License-Identifier: Apache-2.0
//! Hot. Request bodies that are kept in memory: for policies that read one, and for another attempt. All of a shard are
//! counted together, so that many clients with large bodies cannot fill the memory of the process.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

/// Bytes of bodies that a shard keeps.
#[derive(Debug, Default)]
pub(crate) struct KeptBytes {
    now: Cell<usize>,
    max: Cell<usize>,
    /// Bodies that were too much, since somebody asked.
    lacking: Cell<u64>,
}

/// A body, or its beginning.
#[derive(Debug, Default)]
pub(crate) struct KeptBody {
    bytes: Vec<u8>,
    counted_in: Rc<KeptBytes>,
}

/// The shard keeps as many bytes as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl KeptBytes {
    /// From now on at most so many bytes are kept. What is kept already stays.
    pub(crate) fn limit(&self, max: usize) {
        self.max.set(max);
    }

    /// Bytes that are kept now.
    pub(crate) fn now(&self) -> usize {
        self.now.get()
    }

    /// How often there was no room since the last call.
    pub(crate) fn take_lacking(&self) -> u64 {
        self.lacking.take()
    }

    fn add(&self, bytes: usize) -> Result<(), NoRoom> {
        let now = self.now.get() + bytes;
        if now > self.max.get() {
            self.lacking.set(self.lacking.get() + 1);
            return Err(NoRoom);
        }
        self.now.set(now);
        Ok(())
    }

    fn remove(&self, bytes: usize) {
        self.now.set(self.now.get() - bytes);
    }
}

impl KeptBody {
    /// Nothing yet.
    pub(crate) fn new(counted_in: &Rc<KeptBytes>) -> KeptBody {
        KeptBody { bytes: Vec::new(), counted_in: Rc::clone(counted_in) }
    }

    /// Keeps these bytes too; where there is no room for them, what was kept before stays.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.counted_in.add(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Keeps what `write` writes, in the place of what was kept before.
    pub(crate) fn rewrite<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T, NoRoom> {
        self.clear();
        let written = write(&mut self.bytes);
        let counted = self.counted_in.add(self.bytes.len());
        if counted.is_err() {
            self.bytes = Vec::new();
        }
        counted.map(|()| written)
    }

    /// What is kept here moves there.
    pub(crate) fn take(&mut self) -> KeptBody {
        KeptBody { bytes: std::mem::take(&mut self.bytes), counted_in: Rc::clone(&self.counted_in) }
    }

    /// Keeps nothing any more, but room for as many bytes as `capacity_max`.
    pub(crate) fn clear_to(&mut self, capacity_max: usize) {
        self.clear();
        if self.bytes.capacity() > capacity_max {
            self.bytes = Vec::new();
        }
    }

    fn clear(&mut self) {
        self.counted_in.remove(self.bytes.len());
        self.bytes.clear();
    }
}

impl Drop for KeptBody {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Deref for KeptBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_counted_together_and_however_they_end() {
        let all = Rc::new(KeptBytes::default());
        all.limit(10);
        let (mut one, mut two) = (KeptBody::new(&all), KeptBody::new(&all));
        assert_eq!((one.extend(b"123456"), two.extend(b"123")), (Ok(()), Ok(())));
        assert_eq!((two.extend(b"45"), &two[..], all.now()), (Err(NoRoom), &b"123"[..], 9));
        assert_eq!((two.extend(b"4"), all.now()), (Ok(()), 10));
        let moved = one.take();
        assert_eq!((&one[..], &moved[..], all.now()), (&b""[..], &b"123456"[..], 10));
        drop(moved);
        assert_eq!(two.rewrite(|bytes| bytes.extend_from_slice(b"12345678901")), Err(NoRoom));
        assert_eq!((&two[..], all.now()), (&b""[..], 0));
        assert_eq!(two.rewrite(|bytes| bytes.extend_from_slice(b"1234567890")), Ok(()));
        two.clear_to(0);
        assert_eq!((all.now(), all.take_lacking(), all.take_lacking()), (0, 2, 0));
    }
}
