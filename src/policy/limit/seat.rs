// SPDX-License-Identifier: Apache-2.0
//! Hot. Slots that are taken for as long as a request runs, however it ends.

use std::cell::RefCell;
use std::rc::Rc;

/// What comes back of a limit while nobody looks, each a slot of a key under terms of a version: drained by its `Part`.
pub(super) type Vacated = Rc<RefCell<Vec<(u64, u64)>>>;

/// A slot of a key that comes back when this is dropped: also where the client has gone, a tunnel ended or serving the
/// request panicked.
#[derive(Debug)]
pub struct Seat {
    vacated: Vacated,
    key: u64,
    version: u64,
}

impl Seat {
    pub(super) fn new(vacated: &Vacated, key: u64, version: u64) -> Seat {
        Seat { vacated: Rc::clone(vacated), key, version }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.vacated.borrow_mut().push((self.key, self.version));
    }
}
