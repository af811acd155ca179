// SPDX-License-Identifier: Apache-2.0
//! What a change of the directory tells every shard. All shards share one.

use std::sync::Arc;

use crate::base::{AppId, ConsumerId};
use crate::policy::directory::catalogue::Catalogue;
use crate::policy::directory::consumer::{App, Consumer};
use crate::policy::directory::credential::{Credential, CredentialKind};
use crate::policy::directory::key::{KeyEntry, KeyHash};

/// The number of a state of the directory. Each change makes the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The one after it.
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

/// One change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// The state that it makes.
    pub revision: Revision,
    /// What is put in and taken out, in this order.
    pub items: Vec<Item>,
    /// Plans, products and tenants, where they changed.
    pub catalogue: Option<Arc<Catalogue>>,
}

/// Something that is put in or taken out.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A key, in the place of one with the same hash.
    Key(KeyEntry),
    /// This key is not valid any more.
    KeyGone(KeyHash),
    /// A consumer, in the place of the one with this number.
    Consumer(Arc<Consumer>),
    /// This consumer is gone.
    ConsumerGone {
        /// Its number.
        number: ConsumerId,
        /// Its name.
        name: Box<str>,
    },
    /// A credential, in the place of one that is found by the same name.
    Credential(Arc<Credential>),
    /// The credential with this name is not valid any more.
    CredentialGone(CredentialKind, Box<[u8]>),
    /// An app, in the place of the one with this number.
    App(Arc<App>),
    /// This app is gone.
    AppGone(AppId),
}
