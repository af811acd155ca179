// SPDX-License-Identifier: Apache-2.0
//! Traces that run (`turnpike trace`): who wants to see which requests, until when. Shards are told of all that run
//! whenever one begins or ends; what they show goes to those who asked.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::base::Tick;
use crate::base::limits::{TRACE_SECONDS_MAX, TRACES_MAX, TRACES_UNREAD_MAX};
use crate::config::spec::scalar::{Scalar, Time};
use crate::link::{Selection, Trace, TraceOrder};
use crate::wire::trace::is_request_id;

/// How long a trace runs where the request does not say.
const LENGTH: Duration = Duration::from_secs(60);
/// How soon a trace notices that its reader has disconnected.
const LOOK: Duration = Duration::from_millis(250);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceRequest {
    /// Which requests.
    pub selection: Selection,
    /// How long.
    pub length: Duration,
}

impl TraceRequest {
    /// Reads `client=ADDRESS`, `request_id=ID` or `sample=N`, and `for=DURATION`, joined by `&`.
    pub(crate) fn parse(query: &str) -> Result<TraceRequest, String> {
        let (mut selection, mut length) = (None, LENGTH);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let chosen = match name {
                "client" => Selection::Client(network(value)?),
                "request_id" if is_request_id(value.as_bytes()) => Selection::RequestId(value.into()),
                "request_id" => return Err("`request_id` is no request id".to_owned()),
                "sample" => {
                    let one_of: NonZeroU32 = value.parse().map_err(|_| "`sample` is not a number of at least 1")?;
                    Selection::Sample(one_of)
                }
                "for" => {
                    length = Time::parse(value).map_err(|reason| format!("`for` is not a duration: {reason}"))?.0;
                    continue;
                }
                _ => return Err(format!("`{}` is not known", name.escape_default())),
            };
            if selection.replace(chosen).is_some() {
                return Err("only one of `client`, `request_id` and `sample` can be asked for".to_owned());
            }
        }
        let selection = selection.ok_or("one of `client`, `request_id` and `sample` is needed")?;
        if length.is_zero() || length > Duration::from_secs(TRACE_SECONDS_MAX) {
            return Err("`for` is longer than an hour, or nothing".to_owned());
        }
        Ok(TraceRequest { selection, length })
    }
}

/// An address or a network.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
    address.or_else(|_| text.parse()).map_err(|_| "`client` is no IP address and no network".to_owned())
}

/// A trace that runs, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TraceStatus {
    /// Which requests it shows.
    pub selection: String,
    /// Seconds until it ends.
    pub seconds_left: f64,
    /// What it has shown.
    pub shown: u64,
    /// What it left out because its reader was too slow or there was too much.
    pub left_out: u64,
}

/// All traces that run.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    running: Vec<Running>,
    begun: u32,
}

#[derive(Debug)]
struct Running {
    order: TraceOrder,
    until: Tick,
    length: Duration,
    shown: u64,
    left_out: u64,
    reader: mpsc::Sender<Bytes>,
}

impl Traces {
    /// Begins one. What it shows comes out of the receiver, which ends with the trace.
    pub(crate) fn begin(&mut self, request: TraceRequest, now: Tick) -> Result<mpsc::Receiver<Bytes>, String> {
        if self.running.len() >= TRACES_MAX {
            return Err(format!("{TRACES_MAX} traces run already"));
        }
        let TraceRequest { selection, length } = request;
        // One more place, so that the closing line always fits.
        let (reader, lines) = mpsc::channel(TRACES_UNREAD_MAX + 1);
        let words = format!("tracing {selection} for {}\n", in_words(length));
        // The channel is new, so there is room.
        let _ = reader.try_send(words.into());
        self.begun = self.begun.wrapping_add(1);
        let order = TraceOrder { number: self.begun, selection };
        self.running.push(Running { order, until: now.after(length), length, shown: 0, left_out: 0, reader });
        Ok(lines)
    }

    /// Gives a trace to those who asked for it.
    pub(crate) fn deliver(&mut self, trace: &Trace) {
        for running in self.running.iter_mut().filter(|running| trace.orders.contains(&running.order.number)) {
            running.left_out += trace.left_out;
            let bytes = Bytes::copy_from_slice(trace.text.as_bytes());
            let room = running.reader.capacity() > 1;
            match room.then(|| running.reader.try_send(bytes)) {
                Some(Ok(())) => running.shown += 1,
                // Whoever asked reads too slowly, or has gone.
                Some(Err(_)) | None => running.left_out += 1,
            }
        }
    }

    /// Ends those whose time is over or whose reader has gone. True where there were some.
    pub(crate) fn sweep(&mut self, now: Tick) -> bool {
        let before = self.running.len();
        self.running.retain(|running| {
            let over = now >= running.until;
            if over {
                let left_out = match running.left_out {
                    0 => String::new(),
                    some => format!(", {some} left out because there were too many"),
                };
                let words = format!("{} are over: {} shown{left_out}\n", in_words(running.length), running.shown);
                // A reader that has disconnected gets no closing line.
                let _ = running.reader.try_send(words.into());
            }
            !over && !running.reader.is_closed()
        });
        self.running.len() < before
    }

    /// Those that run.
    pub(crate) fn status(&self, now: Tick) -> Vec<TraceStatus> {
        let running = self.running.iter().filter(|running| !running.reader.is_closed());
        let shown = running.map(|running| TraceStatus {
            selection: running.order.selection.to_string(),
            seconds_left: running.until.since(now).as_secs_f64(),
            shown: running.shown,
            left_out: running.left_out,
        });
        shown.collect()
    }

    /// When to sweep again.
    pub(crate) fn sweep_at(&self, now: Tick) -> Tick {
        if self.running.is_empty() { Tick::NEVER } else { now.after(LOOK) }
    }

    /// What shards are to follow.
    pub(crate) fn orders(&self) -> Arc<[TraceOrder]> {
        self.running.iter().map(|running| running.order.clone()).collect()
    }
}

fn in_words(length: Duration) -> String {
    match length.subsec_millis() {
        0 => format!("{} s", length.as_secs()),
        millis => format!("{}.{millis:03} s", length.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Option<Bytes>) -> String {
        String::from_utf8(bytes.expect("a line").to_vec()).expect("a text")
    }

    fn trace(orders: &[u32], text: &str, left_out: u64) -> Trace {
        Trace { orders: orders.to_vec(), text: text.into(), left_out }
    }

    #[test]
    fn what_is_asked_for_is_read_and_what_is_wrong_is_named() {
        let client = TraceRequest::parse("client=::ffff:192.0.2.1&for=5m").expect("a request");
        assert_eq!(client.selection, Selection::Client("192.0.2.1/32".parse().unwrap()));
        assert_eq!(client.length, Duration::from_secs(300));
        let network = TraceRequest::parse("client=2001:db8::/32").expect("a request");
        assert_eq!(network.selection.to_string(), "requests of clients in 2001:db8::/32");
        assert_eq!(network.length, LENGTH);
        let id = TraceRequest::parse("request_id=a+b/c=").expect("a request");
        assert_eq!(id.selection, Selection::RequestId("a+b/c=".into()));
        for (query, words) in [
            ("", "one of"),
            ("for=60s", "one of"),
            ("sample=0", "`sample`"),
            ("sample=x", "`sample`"),
            ("client=here", "`client`"),
            ("request_id=a b", "`request_id`"),
            ("sample=1&client=::1", "only one"),
            ("sample=1&for=2h", "`for`"),
            ("sample=1&for=0", "`for`"),
            ("sample=1&for=60", "`for`"),
            ("simple=1", "`simple`"),
        ] {
            let error = TraceRequest::parse(query).expect_err(query);
            assert!(error.contains(words), "{query}: {error}");
        }
    }

    #[test]
    fn a_trace_shows_its_own_requests_and_ends_by_itself() {
        let (mut traces, now) = (Traces::default(), Tick::ZERO.after_ms(1));
        let ask = |query| TraceRequest::parse(query).expect("a request");
        let mut first = traces.begin(ask("sample=1&for=10s"), now).expect("begun");
        let mut second = traces.begin(ask("client=::1&for=90s"), now).expect("begun");
        assert_eq!(text(first.try_recv().ok()), "tracing one of 1 requests on each data-plane thread for 10 s\n");
        assert_eq!(text(second.try_recv().ok()), "tracing requests of client ::1 for 90 s\n");
        assert_eq!(traces.orders().iter().map(|order| order.number).collect::<Vec<_>>(), [1, 2]);
        traces.deliver(&trace(&[2], "two\n", 3));
        traces.deliver(&trace(&[1, 2], "both\n", 0));
        assert_eq!(text(first.try_recv().ok()), "both\n");
        assert!(!traces.sweep(now.after_ms(9_999)));
        assert!(traces.sweep(now.after_ms(10_000)));
        assert_eq!(text(first.try_recv().ok()), "10 s are over: 1 shown\n");
        assert_eq!(first.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(traces.orders().len(), 1);
        for _ in 0..2 * TRACES_UNREAD_MAX {
            traces.deliver(&trace(&[2], "more\n", 0));
        }
        assert!(traces.sweep(now.after_ms(90_000)));
        let mut last = String::new();
        while let Ok(bytes) = second.try_recv() {
            last = text(Some(bytes));
        }
        let left_out = 3 + 2 + TRACES_UNREAD_MAX;
        assert_eq!(
            last,
            format!("90 s are over: {TRACES_UNREAD_MAX} shown, {left_out} left out because there were too many\n")
        );
        assert_eq!(traces.sweep_at(now), Tick::NEVER);
    }

    #[test]
    fn a_trace_ends_with_its_reader_and_there_are_not_too_many() {
        let (mut traces, now) = (Traces::default(), Tick::ZERO);
        let ask = || TraceRequest::parse("sample=1").expect("a request");
        let readers: Vec<_> = (0..TRACES_MAX).map(|_| traces.begin(ask(), now).expect("begun")).collect();
        assert!(traces.begin(ask(), now).is_err());
        assert!(!traces.sweep(now));
        drop(readers);
        assert!(traces.sweep(now) && traces.orders().is_empty());
    }
}
