// SPDX-License-Identifier: Apache-2.0
//! The keys of TLS session tickets, which outlive the configuration that asked for them.

use std::collections::HashMap;
use std::fmt;
// tidy(machine): only the control plane compiles, so a lock waits for another compilation at most.
use std::sync::{Arc, Mutex, PoisonError};

use crate::net::tls::{MaterialError, Tickets};

/// The keys of session tickets, by purpose. They are kept over reloads, so that sessions can still be resumed after
/// one.
///
/// Listeners never share them: a session that began without a client certificate must not be resumed where one is
/// required.
#[derive(Clone, Default)]
// tidy(machine): see above; a shard holds the keys themselves, never this table.
pub struct TicketKeys(Arc<Mutex<HashMap<u64, Tickets>>>);

impl TicketKeys {
    /// The keys for sessions of this purpose.
    pub(super) fn of(&self, purpose: u64) -> Result<Tickets, MaterialError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tickets) = known.get(&purpose) {
            return Ok(tickets.clone());
        }
        if known.len() >= PURPOSES_MAX {
            known.clear();
        }
        let tickets = Tickets::new()?;
        known.insert(purpose, tickets.clone());
        Ok(tickets)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TicketKeys")
    }
}

/// Most purposes that are kept; above it all are dropped, and clients make full handshakes.
const PURPOSES_MAX: usize = 1_024;
