// SPDX-License-Identifier: Apache-2.0
//! What an exchange waits for while its client may leave unnoticed: nobody reads from a client between its request and
//! the response, so housekeeping looks for a close and then breaks off the upstream's side.
//!
//! What is broken off is erased behind `Abort`, so that a client's stream can break off an endpoint's stream without
//! naming the version that either speaks. It is called only where a client has gone: the one `dyn` of the data plane.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::base::Tick;
use crate::wire::h2::stream::Key;

/// A client is looked after when its exchange has waited this long.
const WATCH_AFTER: Duration = Duration::from_millis(500);

/// A connection of which a conversation can be broken off.
pub(crate) trait Abort {
    /// Breaks off the conversation on `stream`, or the whole connection where there are no streams. It must not look
    /// like an end: a body that lasts until the connection closes would look complete.
    fn abort_stream(&self, stream: Option<Key>);
}

/// Where an exchange's response comes from.
pub(crate) struct Link {
    /// The connection.
    pub connection: Rc<dyn Abort>,
    /// The stream of it, where it has streams.
    pub stream: Option<Key>,
}

impl Link {
    fn abort(&self) {
        self.connection.abort_stream(self.stream);
    }
}

/// What one exchange waits for.
pub(crate) struct Watch {
    since: Cell<Tick>,
    link: RefCell<Option<Link>>,
    gone: Cell<bool>,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch { since: Cell::new(Tick::ZERO), link: RefCell::default(), gone: Cell::new(false) }
    }
}

impl Watch {
    /// From `now` on the exchange depends on `link`.
    pub(crate) fn begin(&self, link: Link, now: Tick) {
        self.since.set(now);
        if self.gone.get() {
            link.abort();
        }
        *self.link.borrow_mut() = Some(link);
    }

    /// It no longer does. True where the client was found to be gone meanwhile.
    pub(crate) fn end(&self) -> bool {
        *self.link.borrow_mut() = None;
        self.gone.replace(false)
    }

    /// Is it time to look whether the client has gone?
    pub(crate) fn is_due(&self, now: Tick) -> bool {
        let waits = self.link.borrow().is_some();
        waits && now.since(self.since.get()) >= WATCH_AFTER && !self.gone.get()
    }

    /// The client has gone: what the exchange waits for is broken off.
    pub(crate) fn break_off(&self) {
        self.gone.set(true);
        if let Some(link) = &*self.link.borrow() {
            link.abort();
        }
    }
}
