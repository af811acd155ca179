// SPDX-License-Identifier: Apache-2.0
//! Hot. Slots that are taken for as long as a request runs, however it ends.

use std::cell::RefCell;
use std::rc::Rc;

use crate::policy::limit::holder::Held;

/// What comes back of a limit while nobody looks: drained by its `Part`.
pub(super) type Vacated = Rc<RefCell<Vec<(u64, Held)>>>;

/// Slots of a key that come back when this is dropped: also where the client has gone, a tunnel ended or serving the
/// request panicked.
#[derive(Debug)]
pub struct Seat {
    vacated: Vacated,
    key: u64,
    held: Held,
}

impl Seat {
    pub(super) fn new(vacated: &Vacated, key: u64, held: Held) -> Seat {
        Seat { vacated: Rc::clone(vacated), key, held }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.vacated.borrow_mut().push((self.key, self.held));
    }
}
