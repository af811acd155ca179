// SPDX-License-Identifier: Apache-2.0
//! Hot. A shard's encoders: each owns some hundred kilobytes, so they are lent to responses and kept for the next.
//!
//! Up to `ENCODERS_MAX` are lent at once; a response above that leaves uncoded. Up to `ENCODERS_KEEP` wait for use;
//! what comes back above that is freed.

use std::cell::{Cell, RefCell};

use crate::base::limits::{ENCODERS_KEEP, ENCODERS_MAX, STAGE_OUT_BYTES};
use crate::wire::coding::{Encoder, Encoding};

/// A shard's encoders.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "an encoder is lent as a box, so that lending it moves a pointer")]
pub(crate) struct Encoders {
    free: RefCell<Vec<Box<Coder>>>,
    lent: Cell<usize>,
}

/// What coding one response needs.
#[derive(Debug)]
pub(crate) struct Coder {
    /// The encoder.
    pub encoder: Encoder,
    /// Coded content that is to be sent.
    pub out: Vec<u8>,
    /// The encoder took content since it was flushed.
    pub holds_content: bool,
}

/// A coder for one response; it goes back when this is dropped.
pub(crate) struct Lent<'a> {
    /// `None` only while it is dropped.
    coder: Option<Box<Coder>>,
    home: &'a Encoders,
}

impl Encoders {
    /// A coder for a new response. `None` where too many are lent.
    pub(crate) fn lend(&self, encoding: Encoding) -> Option<Lent<'_>> {
        if self.lent.get() >= ENCODERS_MAX {
            return None;
        }
        let coder = self.reused(encoding).unwrap_or_else(|| Coder::new(encoding));
        self.lent.set(self.lent.get() + 1);
        Some(Lent { coder: Some(coder), home: self })
    }

    /// Frees all that wait for use.
    pub(crate) fn trim(&self) {
        *self.free.borrow_mut() = Vec::new();
    }

    /// As if so many were lent.
    #[cfg(test)]
    pub(super) fn count_as_lent(&self, count: usize) {
        self.lent.set(count);
    }

    fn reused(&self, encoding: Encoding) -> Option<Box<Coder>> {
        let mut free = self.free.borrow_mut();
        let at = free.iter().rposition(|coder| coder.encoder.coding() == encoding.coding)?;
        let mut coder = free.swap_remove(at);
        coder.encoder.restart(encoding.level).ok()?;
        coder.out.clear();
        coder.holds_content = false;
        Some(coder)
    }
}

impl Coder {
    fn new(encoding: Encoding) -> Box<Coder> {
        // tidy(hot): kept for the next response.
        Box::new(Coder {
            encoder: Encoder::new(encoding),
            out: Vec::with_capacity(STAGE_OUT_BYTES),
            holds_content: false,
        })
    }
}

impl Lent<'_> {
    /// The coder.
    pub(crate) fn coder(&mut self) -> &mut Coder {
        self.coder.as_mut().expect("it is only taken when this is dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.home.lent.set(self.home.lent.get() - 1);
        let mut free = self.home.free.borrow_mut();
        if let Some(coder) = self.coder.take()
            && free.len() < ENCODERS_KEEP
        {
            free.push(coder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::coding::ContentCoding;

    const GZIP: Encoding = Encoding { coding: ContentCoding::Gzip, level: 1 };

    #[test]
    fn a_coder_that_comes_back_is_lent_again_and_remembers_nothing() {
        let encoders = Encoders::default();
        let mut lent = encoders.lend(GZIP).expect("the first");
        let coder = lent.coder();
        coder.encoder.push(b"left in the middle", &mut coder.out).expect("sound");
        coder.out.extend_from_slice(b"left");
        coder.holds_content = true;
        let pointer = &raw const *lent.coder();
        drop(lent);
        let mut again = encoders.lend(Encoding { level: 9, ..GZIP }).expect("it came back");
        assert_eq!(&raw const *again.coder(), pointer);
        assert!(again.coder().out.is_empty() && !again.coder().holds_content);
        drop(again);
        assert_eq!((encoders.free.borrow().len(), encoders.lent.get()), (1, 0));
        encoders.trim();
        assert_eq!(encoders.free.borrow().capacity(), 0);
    }

    #[test]
    fn above_the_cap_none_is_lent_and_few_are_kept() {
        let encoders = Encoders::default();
        encoders.count_as_lent(ENCODERS_MAX - ENCODERS_KEEP - 1);
        let lent: Vec<Lent<'_>> = std::iter::from_fn(|| encoders.lend(GZIP)).collect();
        assert_eq!(lent.len(), ENCODERS_KEEP + 1);
        drop(lent);
        assert_eq!(encoders.free.borrow().len(), ENCODERS_KEEP);
        assert!(encoders.lend(GZIP).is_some());
    }
}
