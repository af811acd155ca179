// SPDX-License-Identifier: Apache-2.0
//! Hot. What all connections of a shard share: their deadlines, chance, and counts.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use super::deadlines::Deadlines;
use super::driver::Driver;
use super::flow::Flow;
use crate::base::{Address, Rng};

pub(super) struct Shard {
    pub(super) driver: Driver,
    pub(super) panics: Cell<u64>,
    /// The address of everybody who connects over a Unix socket without binding a path.
    pub(super) unnamed: Address,
    pub(super) deadlines: Rc<Deadlines<Flow>>,
    random: RefCell<Rng>,
}

impl Shard {
    pub(super) fn new(driver: Driver) -> io::Result<Shard> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Shard {
            driver,
            panics: Cell::new(0),
            unnamed: Address::Unix(std::path::Path::new("").into()),
            deadlines: Rc::new(Deadlines::new()?),
            random: RefCell::new(Rng::new(u64::from_ne_bytes(seed))),
        })
    }

    pub(super) fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }
}
