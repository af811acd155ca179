//! Priorities (RFC 9218): the `priority` value, and whose turn it is to send.
//!
//! Urgency is strict. Within one urgency streams share the connection by bytes: each has a virtual time that its bytes
//! move forward, and the one furthest behind is next. A stream that is not incremental moves slower, so it is done
//! sooner, but it never stops small answers beside it.

use crate::wire::h2::stream::Key;

/// What a peer wishes for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 is the most urgent, 7 the least.
    pub urgency: u8,
    /// It is of use in parts.
    pub incremental: bool,
}

impl Default for Priority {
    /// RFC 9218 section 4.
    fn default() -> Priority {
        Priority { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads a `priority` field or the value of a PRIORITY_UPDATE: a dictionary of RFC 8941. What is unknown or out of
    /// range is ignored, as RFC 9218 section 4 asks.
    pub fn parse(value: &[u8]) -> Priority {
        Priority::default().updated(value)
    }

    /// What becomes of it by a value that speaks after it: what that does not name stays (RFC 9218 section 8).
    pub fn updated(self, value: &[u8]) -> Priority {
        let mut priority = self;
        for member in members(value) {
            let name_and_value = member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            match name_and_value {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

/// The members of a dictionary, cut at commas outside of strings.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    value.split(move |byte| {
        let was_escaped = escaped;
        escaped = quoted && *byte == b'\\' && !was_escaped;
        if *byte == b'"' && !was_escaped {
            quoted = !quoted;
        }
        *byte == b',' && !quoted
    })
}

/// How much slower the virtual time of a stream passes that is not incremental.
const WHOLE_SHIFT: u32 = 2;

/// Streams that have something to send, and who is next.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    ready: Vec<Ready>,
    /// The virtual time of the stream served last: a newcomer starts here and not at zero.
    time: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ready {
    key: Key,
    urgency: u8,
    pass: u64,
}

impl Scheduler {
    /// Adds a stream that stands at `pass`, unless it is there. Its new virtual time.
    pub fn offer(&mut self, key: Key, priority: Priority, pass: u64) -> u64 {
        let pass = pass.max(self.time);
        match self.ready.iter_mut().find(|ready| ready.key == key) {
            Some(ready) => ready.urgency = priority.urgency,
            None => self.ready.push(Ready { key, urgency: priority.urgency, pass }),
        }
        pass
    }

    /// Changes the urgency of a stream, where it is there.
    pub fn hurry(&mut self, key: Key, priority: Priority) {
        if let Some(ready) = self.ready.iter_mut().find(|ready| ready.key == key) {
            ready.urgency = priority.urgency;
        }
    }

    /// Takes out the stream that should send next among those that `may` send.
    pub fn pick(&mut self, may: impl Fn(Key) -> bool) -> Option<Key> {
        let able = self.ready.iter().enumerate().filter(|(_, ready)| may(ready.key));
        let (at, _) = able.min_by_key(|(_, ready)| (ready.urgency, ready.pass, ready.key.id()))?;
        let ready = self.ready.swap_remove(at);
        self.time = self.time.max(ready.pass);
        Some(ready.key)
    }

    /// Forgets a stream.
    pub fn remove(&mut self, key: Key) {
        self.ready.retain(|ready| ready.key != key);
    }

    /// Is there one that may?
    pub fn any(&self, may: impl Fn(Key) -> bool) -> bool {
        self.ready.iter().any(|ready| may(ready.key))
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Gives memory back where nobody waits.
    pub fn shrink(&mut self) {
        self.ready.shrink_to_fit();
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.ready.capacity() * size_of::<Ready>()
    }
}

/// The virtual time of a stream at `pass` after it has sent `count` bytes.
pub const fn charged(pass: u64, priority: Priority, count: usize) -> u64 {
    let cost = if priority.incremental { count as u64 } else { count as u64 >> WHOLE_SHIFT };
    pass.saturating_add(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(urgency: u8, incremental: bool) -> Priority {
        Priority { urgency, incremental }
    }

    /// RFC 9218 section 4 and RFC 8941 section 3.2.
    #[test]
    fn values() {
        for (value, expected) in [
            (&b""[..], of(3, false)),
            (b"u=0", of(0, false)),
            (b"u=7, i", of(7, true)),
            (b"i=?1,u=1", of(1, true)),
            (b"i, i=?0", of(3, false)),
            (b"u=5;x=1, i;y", of(5, true)),
            (b"u=8", of(3, false)),
            (b"u=-1", of(3, false)),
            (b"u=33", of(3, false)),
            (b"u", of(3, false)),
            (b"x=\"u=1, i\", u=2", of(2, false)),
            (b"x=\"\\\", u=1\", u=4", of(4, false)),
            (b"\xff\x00,,,=", of(3, false)),
        ] {
            assert_eq!(Priority::parse(value), expected, "{}", value.escape_ascii());
        }
        for (value, expected) in
            [(&b""[..], of(1, true)), (b"u=6", of(6, true)), (b"i=?0", of(1, false)), (b"u=3, i=?0", of(3, false))]
        {
            assert_eq!(of(1, true).updated(value), expected, "{}", value.escape_ascii());
        }
    }

    /// Serves streams, all of which always have more, for `rounds` frames of 1 000 bytes; the bytes of each.
    fn served(priorities: &[Priority], rounds: usize) -> Vec<usize> {
        let mut scheduler = Scheduler::default();
        let keys: Vec<Key> = (0..priorities.len()).map(|at| Key::new(at as u32 * 2 + 1, at)).collect();
        let mut pass = vec![0; keys.len()];
        let mut bytes = vec![0; keys.len()];
        for _ in 0..rounds {
            for key in &keys {
                pass[key.slot()] = scheduler.offer(*key, priorities[key.slot()], pass[key.slot()]);
            }
            let slot = scheduler.pick(|_| true).expect("they all have more").slot();
            bytes[slot] += 1_000;
            pass[slot] = charged(pass[slot], priorities[slot], 1_000);
        }
        bytes
    }

    /// RFC 9218 section 10: by urgency first.
    #[test]
    fn the_urgent_go_first_and_equals_share() {
        assert_eq!(served(&[of(4, true), of(3, true)], 10), [0, 10_000]);
        assert_eq!(served(&[of(3, true), of(3, true)], 10), [5_000, 5_000]);
        assert_eq!(served(&[of(3, true), of(3, false)], 50), [10_000, 40_000]);
    }

    #[test]
    fn who_waits_may_become_urgent() {
        let mut scheduler = Scheduler::default();
        let (first, second) = (Key::new(1, 0), Key::new(3, 1));
        scheduler.offer(first, of(3, true), 0);
        scheduler.offer(second, of(7, true), 0);
        scheduler.hurry(second, of(0, true));
        assert_eq!([scheduler.pick(|_| true), scheduler.pick(|_| true)], [Some(second), Some(first)]);
    }

    #[test]
    fn a_newcomer_is_not_behind_what_a_download_has_had() {
        let mut scheduler = Scheduler::default();
        let (large, small) = (Key::new(1, 0), Key::new(3, 1));
        let mut pass = 0;
        for _ in 0..1_000 {
            pass = scheduler.offer(large, Priority::default(), pass);
            assert_eq!(scheduler.pick(|_| true), Some(large));
            pass = charged(pass, Priority::default(), 16_384);
        }
        scheduler.offer(large, Priority::default(), pass);
        scheduler.offer(small, Priority::default(), 0);
        assert_eq!(scheduler.pick(|_| true), Some(small));
        scheduler.offer(small, Priority::default(), 0);
        assert_eq!(scheduler.pick(|key| key != small), Some(large));
        scheduler.remove(small);
        assert!(scheduler.is_empty() && scheduler.pick(|_| true).is_none());
    }
}
