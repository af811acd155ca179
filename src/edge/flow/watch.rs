// SPDX-License-Identifier: Apache-2.0
//! Detects that a client disconnects during an exchange. Nothing reads from a client between its request and the
//! response, so housekeeping checks for a close and then aborts the upstream's side.
//!
//! `Abort` erases the HTTP version, so that a client's stream can abort an endpoint's stream of another version. It is
//! called only when a client has disconnected; it is the one `dyn` of the data plane.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::base::Tick;
use crate::wire::h2::stream::Key;

/// After this time in an exchange, housekeeping checks whether its client has disconnected.
const WATCH_AFTER: Duration = Duration::from_millis(500);

/// The longest time between two looks at a client.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A connection on which an exchange can be aborted.
pub(crate) trait Abort {
    /// Aborts the exchange on `stream`, or the whole connection where there are no streams. It must not look like an
    /// orderly close, because a body that lasts until the connection closes would then look complete.
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
    look_at: Cell<Tick>,
    link: RefCell<Option<Link>>,
    gone: Cell<bool>,
    /// The connection waits for a request.
    pub idle: Cell<bool>,
    /// Since when, if it does.
    pub idle_since: Cell<Tick>,
    /// It is to be closed, unless a request arrives first.
    pub evicted: Cell<bool>,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch {
            since: Cell::new(Tick::ZERO),
            look_at: Cell::new(Tick::ZERO),
            link: RefCell::default(),
            gone: Cell::new(false),
            idle: Cell::new(false),
            idle_since: Cell::new(Tick::ZERO),
            evicted: Cell::new(false),
        }
    }
}

impl Watch {
    /// From `now` on the exchange depends on `link`.
    pub(crate) fn begin(&self, link: Link, now: Tick) {
        self.since.set(now);
        self.look_at.set(now.after(WATCH_AFTER));
        if self.gone.get() {
            link.abort();
        }
        *self.link.borrow_mut() = Some(link);
    }

    /// Looks no more: the gateway ends its own reads from the client, which would look as if the client had gone. What
    /// was seen before counts.
    pub(crate) fn stop_looking(&self) {
        *self.link.borrow_mut() = None;
    }

    /// Ends the watch. True where the client has disconnected meanwhile.
    pub(crate) fn end(&self) -> bool {
        *self.link.borrow_mut() = None;
        self.gone.replace(false)
    }

    /// Is it time to look whether the client has gone? A look is a system call, so the longer an exchange lasts, the
    /// rarer they are: the time to the next one is a quarter of its age.
    pub(crate) fn is_due(&self, now: Tick) -> bool {
        let waits = self.link.borrow().is_some() && !self.gone.get();
        if !waits || now < self.look_at.get() {
            return false;
        }
        let age = now.since(self.since.get());
        self.look_at.set(now.after((age / 4).min(LOOK_PAUSE_MAX)));
        true
    }

    /// The client has disconnected: aborts what the exchange waits for.
    pub(crate) fn break_off(&self) {
        self.gone.set(true);
        if let Some(link) = &*self.link.borrow() {
            link.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Abort for Silent {
        fn abort_stream(&self, _: Option<Key>) {}
    }

    fn begun() -> Watch {
        let watch = Watch::default();
        watch.begin(Link { connection: Rc::new(Silent), stream: None }, Tick::ZERO);
        watch
    }

    #[test]
    fn reads_that_the_gateway_ends_are_no_disconnect() {
        let late = Tick::ZERO.after(2 * WATCH_AFTER);
        assert!(begun().is_due(late));
        let watch = begun();
        watch.stop_looking();
        assert!(!watch.is_due(late) && !watch.end());
        let gone = begun();
        gone.break_off();
        gone.stop_looking();
        assert!(gone.end());
    }
}
