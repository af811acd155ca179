// SPDX-License-Identifier: Apache-2.0
//! The machine itself, on io_uring and on epoll: real sockets on 127.0.0.1 and in temporary folders.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;

use super::{Driver, DriverChoice, RunOptions, Uring, UringListener, UringStream, enter, run, uring};
use crate::base::{Address, Buf, Tick};
use crate::net::sockets::{self, ListenOptions, ListenSocket};
use crate::net::{BellWaiter, Listener, Net, Peek, Stream};

mod calls;
mod cancel;

/// Runs `test` on every driver that this machine has, also on those that it would only fall back to.
pub(in crate::net) fn on_each<F: Future<Output = ()>>(test: impl Fn(Uring) -> F) {
    let options = |driver| RunOptions { driver, ring_entries: 256, ..RunOptions::default() };
    let checked = |net: Uring| {
        println!("driver: {}", net.driver().name());
        test(net)
    };
    run(&options(DriverChoice::Best), checked).unwrap();
    run(&options(DriverChoice::Epoll), |net| {
        assert_eq!(net.driver(), Driver::Epoll);
        checked(net)
    })
    .unwrap();
    if monoio::utils::detect_uring() {
        let plain = uring(&options(DriverChoice::Best), &io_uring::IoUring::builder()).unwrap();
        enter(plain, Driver::IoUringPlain, checked).unwrap();
    }
}

pub(in crate::net) fn open() -> ListenSocket {
    let address = Address::Inet(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    sockets::listen(&address, &ListenOptions::default()).unwrap()
}

pub(in crate::net) fn listen(net: &Uring) -> UringListener {
    net.listener(open()).unwrap()
}

/// A deadline that a working test does not reach.
pub(in crate::net) fn soon(net: &Uring) -> Tick {
    net.now().after_ms(10_000)
}

pub(in crate::net) fn within(net: &Uring, millis: u64) -> Tick {
    net.now().after_ms(millis)
}

/// Two ends of a connection.
pub(in crate::net) async fn pair(net: &Uring, listener: &UringListener) -> (UringStream, UringStream) {
    let connecting = net.connect(listener.local(), soon(net));
    let (near, far) = both(connecting, listener.accept()).await;
    (near.unwrap(), far.unwrap())
}

/// Drives two futures in one task.
pub(in crate::net) async fn both<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut first_done, mut second_done) = (None, None);
    poll_fn(|context| {
        if first_done.is_none()
            && let Poll::Ready(output) = first.as_mut().poll(context)
        {
            first_done = Some(output);
        }
        if second_done.is_none()
            && let Poll::Ready(output) = second.as_mut().poll(context)
        {
            second_done = Some(output);
        }
        if first_done.is_some() && second_done.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first_done.unwrap(), second_done.unwrap())
}

/// The first future, or None where the second is ready before it; the first is dropped then.
pub(in crate::net) async fn unless<A: Future>(first: A, second: impl Future<Output = ()>) -> Option<A::Output> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| {
        if let Poll::Ready(output) = first.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        second.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Waits until `count` tasks have counted themselves.
pub(in crate::net) async fn all(net: &Uring, done: &Cell<usize>, count: usize) {
    let until = soon(net);
    while done.get() < count {
        assert!(net.now() < until, "{} of {count} tasks ended", done.get());
        net.sleep_until(within(net, 1)).await;
    }
    assert_eq!(net.panics(), 0);
}

pub(in crate::net) async fn send(net: &Uring, stream: &UringStream, bytes: &[u8]) {
    let (result, buf) = stream.write(Buf::copied(bytes), soon(net)).await;
    result.unwrap();
    assert!(buf.is_empty());
}

pub(in crate::net) async fn receive(net: &Uring, stream: &UringStream, count: usize) -> Vec<u8> {
    let mut buf = Buf::with_capacity(count);
    while buf.len() < count {
        let (result, back) = stream.read(buf, soon(net)).await;
        buf = back;
        assert_ne!(result.unwrap(), 0, "ended after {} of {count} bytes", buf.len());
    }
    buf.filled().to_vec()
}

pub(in crate::net) fn kind<T>(result: &io::Result<T>) -> Option<ErrorKind> {
    result.as_ref().err().map(io::Error::kind)
}
