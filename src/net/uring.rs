// SPDX-License-Identifier: Apache-2.0
//! Hot. The machine in production: `Net` over monoio, on io_uring or, where the kernel refuses it, on epoll.
//!
//! Only this file and those in its folder name monoio. What they add to it is deadlines that cost a store (`flow`,
//! `deadlines`), reads that are cancelled without losing what had arrived, accepts that lose no connection, and tasks
//! whose panics stay theirs. One thread has one `Uring`; nothing of it leaves the thread.

use std::future::{Future, pending};
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use crate::base::{Address, Tick, Wall};
use crate::net::sockets::ListenSocket;
use crate::net::{Bell, Net, machine};

mod bell_waiter;
mod caught;
mod deadlines;
mod descriptor;
mod driver;
mod flow;
mod lent;
mod listener;
mod shard;
mod stream;
#[cfg(test)]
pub(in crate::net) mod tests;

pub use bell_waiter::UringBellWaiter;
pub use driver::{Driver, DriverChoice};
pub use listener::UringListener;
pub use stream::UringStream;

use caught::Caught;
use deadlines::watch;
use shard::Shard;

/// How to run a shard.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The core to stay on; None lets the kernel move the thread.
    pub core: Option<usize>,
    /// Entries of the submission ring: operations that one system call can submit. More are submitted in several calls.
    pub ring_entries: u32,
    /// Which driver to use.
    pub driver: DriverChoice,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions { core: None, ring_entries: RING_ENTRIES, driver: DriverChoice::Best }
    }
}

/// Runs a shard on the current thread until the future that `main` makes is ready. Tasks that still wait then are not
/// run any more.
pub fn run<F, M>(options: &RunOptions, main: M) -> io::Result<()>
where
    F: Future<Output = ()>,
    M: FnOnce(Uring) -> F,
{
    if let Some(core) = options.core
        && let Err(error) = monoio::utils::bind_to_cpu_set([core])
    {
        tracing::warn!("cannot stay on core {core}: {error}");
    }
    if options.driver != DriverChoice::Epoll && monoio::utils::detect_uring() {
        if let Ok(runtime) = uring(options, &tuned(options)) {
            return enter(runtime, Driver::IoUring, main);
        }
        warn_once(&WARNED_PLAIN, "the kernel (before 6.1?) knows no deferred task work: plain io_uring costs more CPU");
        if let Ok(runtime) = uring(options, &io_uring::IoUring::builder()) {
            return enter(runtime, Driver::IoUringPlain, main);
        }
    }
    match options.driver {
        DriverChoice::Epoll => {}
        DriverChoice::Best => {
            warn_once(&WARNED_EPOLL, "the kernel refuses io_uring: using epoll, which costs more CPU")
        }
        DriverChoice::IoUring => return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel refuses io_uring")),
    }
    enter(epoll(options)?, Driver::Epoll, main)
}

/// A shard's machine: monoio on this thread.
#[derive(Clone)]
pub struct Uring {
    shard: Rc<Shard>,
}

impl Uring {
    /// Which driver runs this shard.
    pub fn driver(&self) -> Driver {
        self.shard.driver
    }
}

impl Net for Uring {
    type Stream = UringStream;
    type Listener = UringListener;
    type Socket = ListenSocket;
    type BellWaiter = UringBellWaiter;

    fn now(&self) -> Tick {
        machine::now()
    }

    fn wall(&self) -> Wall {
        machine::wall()
    }

    fn random(&self) -> u64 {
        self.shard.random()
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        monoio::spawn(Caught::new(task, self.shard.clone()));
    }

    async fn sleep_until(&self, at: Tick) {
        match at {
            Tick::NEVER => pending().await,
            at => self.shard.deadlines.sleep_until(at).await,
        }
    }

    async fn connect(&self, to: &Address, until: Tick) -> io::Result<UringStream> {
        stream::connect(&self.shard, to, until).await
    }

    fn listener(&self, socket: ListenSocket) -> io::Result<UringListener> {
        UringListener::new(&self.shard, socket)
    }

    fn bell_waiter(&self, bell: &Bell) -> io::Result<UringBellWaiter> {
        UringBellWaiter::new(bell)
    }

    fn panics(&self) -> u64 {
        self.shard.panics.get()
    }

    fn give_memory_back(&self) {
        machine::give_memory_back();
    }
}

/// Submission entries by default.
const RING_ENTRIES: u32 = 1024;
/// The runtime makes no smaller ring.
const RING_ENTRIES_MIN: u32 = 256;
/// Many more operations wait than are submitted at once: each idle connection has one. What overflows the completion
/// ring is kept by the kernel in a slower list.
const COMPLETIONS_PER_ENTRY: u32 = 4;

static WARNED_EPOLL: AtomicBool = AtomicBool::new(false);
static WARNED_PLAIN: AtomicBool = AtomicBool::new(false);

/// Says once in a process, not once for each shard.
fn warn_once(said: &AtomicBool, what: &'static str) {
    if !said.swap(true, Ordering::Relaxed) {
        tracing::warn!("{what}");
    }
}

/// The ring's flags that pay: completions wait until the thread asks for them, and one bad entry does not hold up a
/// batch.
fn tuned(options: &RunOptions) -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    builder.setup_cqsize(options.ring_entries.max(RING_ENTRIES_MIN) * COMPLETIONS_PER_ENTRY);
    builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().setup_submit_all();
    builder
}

fn uring(options: &RunOptions, ring: &io_uring::Builder) -> io::Result<Runtime<IoUringDriver>> {
    let builder = RuntimeBuilder::<IoUringDriver>::new();
    builder.uring_builder(ring.clone()).with_entries(options.ring_entries).build()
}

fn epoll(options: &RunOptions) -> io::Result<Runtime<LegacyDriver>> {
    RuntimeBuilder::<LegacyDriver>::new().with_entries(options.ring_entries).build()
}

fn enter<D, F, M>(mut runtime: Runtime<D>, driver: Driver, main: M) -> io::Result<()>
where
    D: monoio::Driver,
    F: Future<Output = ()>,
    M: FnOnce(Uring) -> F,
{
    let shard = Rc::new(Shard::new(driver)?);
    runtime.block_on(async {
        let timers = monoio::spawn(watch(shard.deadlines.clone(), shard.deadlines.event()?));
        main(Uring { shard: shard.clone() }).await;
        shard.deadlines.stop();
        timers.await;
        Ok(())
    })
}
