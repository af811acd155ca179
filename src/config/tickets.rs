//! The keys of TLS session tickets, which outlive the configuration that asked for them.

use std::collections::HashMap;
use std::fmt;
// tidy(machine): only the control plane compiles, and one compilation waits for another at most.
use std::sync::{Arc, Mutex, PoisonError};

use crate::net::tls::{MaterialError, Tickets};

/// Keys of session tickets by what a session may be resumed for, kept over reloads so that a reload ends no session.
///
/// Listeners never share them: a session that was made without a client certificate must not be taken up where one is
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

/// Purposes that are remembered; above it all are forgotten, and sessions start anew.
const PURPOSES_MAX: usize = 1_024;
