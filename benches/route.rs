// SPDX-License-Identifier: Apache-2.0
//! The cost of finding a route among 10, 1 000 and 10 000: literal paths, parameters, many hosts, misses, a chain of
//! matchers. First checks that nothing is allocated.
//!
//! For people: `cargo bench --bench route`; for the gate, which counts instructions, see `pieces`. `ROUTE_FLOOR=1`
//! prints the best of many short runs of each case and of matchit with the same paths, which a busy machine disturbs
//! least.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod pieces;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use pieces::{Piece, Run};
use turnpike::bench::base::{RouteId, Span};
use turnpike::bench::route::{
    BodyView, FieldMatch, HostPattern, Params, PathPattern, RouteMatch, RouteQuery, Rule, Table, ValueMatch,
};
use turnpike::bench::wire::field::Known;
use turnpike::bench::wire::head::{Field, Method, Request, RequestHead};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One kind of table with one kind of request.
struct Case {
    name: &'static str,
    rule: fn(u32, u32) -> Rule,
    host: fn(u32) -> String,
    path: fn(u32) -> String,
    found: bool,
}

const COUNTS: [u32; 3] = [10, 1_000, 10_000];

/// Requests are spread over all routes, so that processor caches behave as in production.
const ASKED: u32 = 512;

const CASES: [Case; 6] = [
    Case {
        name: "static",
        rule: |number, _| rule(number, PathPattern::exact(&format!("/api/service{number}/items/list"))),
        host: |_| "api.example.com".to_owned(),
        path: |number| format!("/api/service{number}/items/list"),
        found: true,
    },
    Case {
        name: "param",
        rule: |number, _| rule(number, PathPattern::template(&format!("/api/service{number}/items/{{id}}"))),
        host: |_| "api.example.com".to_owned(),
        path: |number| format!("/api/service{number}/items/8f14e45f"),
        found: true,
    },
    Case {
        name: "prefix",
        rule: |number, _| rule(number, PathPattern::prefix(&format!("/api/service{number}"))),
        host: |_| "api.example.com".to_owned(),
        path: |number| format!("/api/service{number}/items/8f14e45f/parts"),
        found: true,
    },
    Case {
        name: "hosts",
        rule: |number, count| {
            let mut rule = rule(number, PathPattern::template(&format!("/service{}/{{id}}", number / 50)));
            let wild = HostPattern::Suffix(format!(".tenant{}.example.com", number % 50).into());
            let exact = HostPattern::Exact(format!("api.tenant{}.example.com", number % 50).into());
            rule.hosts = vec![if number < count / 2 { exact } else { wild }];
            rule
        },
        host: |number| format!("api.tenant{}.example.com", number % 50),
        path: |number| format!("/service{}/8f14e45f", number / 50),
        found: true,
    },
    Case {
        name: "canary",
        rule: |number, _| {
            let mut rule = rule(number, PathPattern::template(&format!("/api/service{}/{{id}}", number / 2)));
            if number % 2 == 0 {
                rule.headers = vec![FieldMatch { name: "x-canary".into(), value: ValueMatch::Exact("always".into()) }];
            }
            rule
        },
        host: |_| "api.example.com".to_owned(),
        path: |number| format!("/api/service{}/8f14e45f", number / 2),
        found: true,
    },
    Case {
        name: "miss",
        rule: |number, _| rule(number, PathPattern::template(&format!("/api/service{number}/items/{{id}}"))),
        host: |_| "api.example.com".to_owned(),
        path: |number| format!("/api/service{number}/nothing/8f14e45f"),
        found: false,
    },
];

fn rule(number: u32, path: Result<PathPattern, turnpike::bench::route::PatternError>) -> Rule {
    let mut rule = Rule::new(&format!("route{number}"), RouteId(number), path.expect("a sane pattern"));
    rule.hosts = vec![HostPattern::Exact("api.example.com".into())];
    rule
}

struct Prepared {
    table: Table,
    asks: Vec<(String, String)>,
    bytes: Vec<u8>,
    head: RequestHead,
    found: bool,
}

impl Prepared {
    fn new(case: &Case, count: u32) -> Prepared {
        let table = Table::build((0..count).map(|number| (case.rule)(number, count)).collect()).table;
        // Spread by a step that has no common factor with the counts.
        let numbers = (0..ASKED).map(|number| number.wrapping_mul(7_919) % count);
        let asks = numbers.map(|number| ((case.host)(number), (case.path)(number))).collect();
        let (bytes, head) = head();
        Prepared { table, asks, bytes, head, found: case.found }
    }

    /// Looks every request up once.
    fn find_many(&self, params: &mut Params) -> usize {
        self.asks.iter().filter(|ask| self.find(ask, params)).count()
    }

    /// Looks one request up.
    fn find(&self, (host, path): &(String, String), params: &mut Params) -> bool {
        let request = Request { bytes: &self.bytes, head: &self.head };
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let wanted =
            RouteQuery { request, host: host.as_bytes(), path: path.as_bytes(), source, body: BodyView::Unread };
        matches!(black_box(self.table.find(black_box(&wanted), params)), RouteMatch::Route(_))
    }
}

/// A head with the fields of a usual request.
fn head() -> (Vec<u8>, RequestHead) {
    let mut bytes = b"GET".to_vec();
    let mut head = RequestHead { method: Method::Get, method_text: Span::new(0, 3), ..RequestHead::default() };
    let lines =
        ["host", "user-agent", "accept", "accept-encoding", "x-canary", "cookie", "x-request-id", "traceparent"];
    for name in lines {
        let start = bytes.len();
        bytes.extend_from_slice(name.as_bytes());
        let middle = bytes.len();
        bytes.extend_from_slice(b"never");
        let (name, value) = (Span::new(start, middle), Span::new(middle, bytes.len()));
        let known = Known::of(name.of(&bytes));
        head.fields.list.push(Field { name, value, known });
    }
    (bytes, head)
}

fn main() {
    if std::env::var_os("ROUTE_FLOOR").is_some() {
        return floor();
    }
    let all = CASES.iter().flat_map(|case| COUNTS.map(|count| (case, count)));
    pieces::main(all.map(|(case, count)| piece(case, count)).collect());
}

/// Finding one route; requests take turns.
fn piece(case: &'static Case, count: u32) -> Piece {
    Piece::new(format!("route/{}/{count}", case.name), move || {
        let prepared = Prepared::new(case, count);
        let mut params = Params::default();
        prepared.find_many(&mut params);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let found = prepared.find_many(&mut params);
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before, "{} allocates", case.name);
        assert_eq!(found > 0, prepared.found, "{} finds what it should", case.name);
        Run::many(move |times| {
            for ask in prepared.asks.iter().cycle().take(times as usize) {
                prepared.find(ask, &mut params);
            }
        })
    })
}

/// The least time that a find took in many short runs, ours and matchit's.
fn floor() {
    for case in &CASES {
        for count in COUNTS {
            let prepared = Prepared::new(case, count);
            let mut params = Params::default();
            let ours = least(|| prepared.find_many(&mut params));
            let theirs = matchit(case, count).map_or(String::new(), |router| {
                let many = || prepared.asks.iter().filter(|(_, path)| router.at(black_box(path)).is_ok()).count();
                format!(", matchit {:5.1} ns", least(many))
            });
            println!("{:>7} {count:>6}: {ours:5.1} ns{theirs}", case.name);
        }
    }
}

/// A router of the same paths; hosts and matchers it does not know.
fn matchit(case: &Case, count: u32) -> Option<matchit::Router<u32>> {
    let mut router = matchit::Router::new();
    for number in 0..count {
        let path = (case.rule)(number, count).path;
        let text = path.to_string();
        router.insert(text.trim_start_matches("= "), number).ok()?;
    }
    Some(router)
}

fn least(mut many: impl FnMut() -> usize) -> f64 {
    let times = (0..4_000).map(|_| {
        let start = std::time::Instant::now();
        black_box(many());
        start.elapsed().as_nanos()
    });
    times.min().unwrap_or(0) as f64 / f64::from(ASKED)
}
