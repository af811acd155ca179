// SPDX-License-Identifier: Apache-2.0
//! Clients above `connections_max`: so many as `REFUSALS_MAX` are told so at a time, and all others are closed at once.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::limits::REFUSALS_MAX;
use crate::base::{Address, Buf, Tick};
use crate::link::Counter;
use crate::net::sim::SimStream;
use crate::net::{Net, Stream};
use crate::sim::limit::{LimitWorld, in_world};
use crate::sim::mesh::Delays;

const DELAYS: Delays = Delays { micros: (20, 400), stall_ms_max: 0 };
const CONNECTIONS_MAX: usize = 10;
const BURST: usize = 100;

fn toml(listen: &Address) -> String {
    format!(
        r#"
        [server]
        shards = 1
        pin = false
        watch = false
        connections_max = {CONNECTIONS_MAX}
        [[listener]]
        bind = "{listen}"
        [[route]]
        path_prefix = "/"
        answer = {{ body = "in" }}
        "#
    )
}

/// What came first: the start of a response, or nothing where the connection was closed.
async fn first_bytes(stream: &SimStream) -> Vec<u8> {
    let (_, buf) = stream.read(Buf::with_capacity(1_000), Tick::NEVER).await;
    buf.filled().iter().copied().take(12).collect()
}

#[test]
fn a_burst_above_the_cap_does_not_hold_its_descriptors() {
    let seen: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
    let told = seen.clone();
    let ran = in_world(
        (11, 1, DELAYS),
        |_, listen: &Address| toml(listen),
        async move |world: LimitWorld| {
            let LimitWorld { gateway, common, clients: sim, .. } = world;
            let connect = async || sim.connect(&common.gateway, Tick::NEVER).await.expect("a connection");
            let mut served = Vec::new();
            for _ in 0..CONNECTIONS_MAX {
                let stream = connect().await;
                let request = Buf::copied(b"GET / HTTP/1.1\r\nHost: in.test\r\n\r\n");
                stream.write(request, Tick::NEVER).await.0.expect("the gateway reads");
                assert_eq!(first_bytes(&stream).await, b"HTTP/1.1 200");
                served.push(stream);
            }
            // They come within the fifth of a second that a refusal may take, and none closes its side.
            let mut refused = Vec::new();
            for _ in 0..BURST {
                refused.push(connect().await);
            }
            for stream in &refused {
                let first = first_bytes(stream).await;
                told.borrow_mut().push(first);
            }
            sim.sleep_until(sim.now().after_ms(300)).await;
            let late = connect().await;
            let first = first_bytes(&late).await;
            told.borrow_mut().push(first);
            assert_eq!(gateway.counted(Counter::Refused), BURST as u64 + 1);
            sim.kill();
        },
    );
    if let Err(failure) = ran {
        panic!("{failure}");
    }
    let seen = seen.borrow();
    let (last, burst) = seen.split_last().expect("one for each client");
    assert_eq!(last, b"HTTP/1.1 503", "the refusals before it are over");
    assert!(burst[..REFUSALS_MAX].iter().all(|first| first == b"HTTP/1.1 503"), "{burst:?}");
    assert!(burst[REFUSALS_MAX..].iter().all(Vec::is_empty), "{burst:?}");
}
