// SPDX-License-Identifier: Apache-2.0
//! The inside of a simulation: tasks, timers, virtual time, hosts and what belongs to them.
//!
//! One thread runs everything. Tasks that are ready run in an order that the seed decides; when none is, time jumps to
//! the next timer. A task that keeps itself ready would stop time for ever, as it would starve timers on io_uring: that
//! is a failure here.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};

use crate::base::{Address, Rng, Tick};
use crate::net::Bell;
use crate::net::sim::faults::Faults;

use crate::net::sim::settings::{PanicRule, Settings};
use crate::net::sim::tasks::{HostId, Task, TaskId, Tasks};
use crate::net::sim::timers::{TimerKey, Timers};
use crate::net::sim::trace::{Subject, Trace};

/// Everything that the handles of one simulation share.
pub(crate) struct World {
    /// As the run was asked for.
    pub settings: Settings,
    /// Virtual time.
    pub now: Cell<Tick>,
    /// The only source of chance, besides what each pipe has of its own.
    pub rng: RefCell<Rng>,
    /// What happened.
    pub trace: RefCell<Trace>,
    /// What went wrong.
    pub failures: RefCell<Vec<String>>,
    /// By `HostId`.
    pub hosts: RefCell<Vec<Host>>,
    /// Faults of connections to one address; others get `settings.faults`.
    pub faults: RefCell<BTreeMap<Address, Faults>>,
    /// Streams and listeners that exist, for leaks: number to host and what it is.
    pub live: RefCell<BTreeMap<u64, (HostId, String)>>,
    tasks: RefCell<Tasks>,
    ready: RefCell<Vec<TaskId>>,
    woken: Receiver<TaskId>,
    wake: Sender<TaskId>,
    timers: RefCell<Timers>,
    waiters: RefCell<Vec<Weak<HeardBell>>>,
    last_id: Cell<u64>,
    /// Polls since time last moved to a timer.
    polls: Cell<u64>,
    /// Operations that the poll which runs now has tried.
    operations: Cell<u64>,
}

/// One machine of a simulation.
pub(crate) struct Host {
    /// As traces show it.
    pub name: Rc<str>,
    /// Where its listeners and connections are.
    pub address: IpAddr,
    /// Its tasks that panicked.
    pub panics: u64,
    /// The port of its last connection out.
    pub last_port: u16,
    /// Connections that it may have at once.
    pub descriptors: usize,
}

struct TaskWaker {
    task: TaskId,
    wake: Sender<TaskId>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        // The other end is gone only when the simulation is.
        let _ = self.wake.send(self.task);
    }
}

/// A bell that some task of this simulation hears.
pub(crate) struct HeardBell {
    /// The bell.
    pub bell: Bell,
    /// The world took a ring that the task has not heard yet.
    pub rung: Cell<bool>,
    /// Who waits.
    pub waker: RefCell<Option<Waker>>,
}

/// What one turn of the executor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A task ran, or time moved.
    Ran,
    /// No task is ready and no timer is set: nothing will ever happen again.
    Stuck,
}

impl World {
    /// A world at time zero with no hosts.
    pub(crate) fn new(settings: Settings) -> World {
        let (wake, woken) = channel();
        World {
            now: Cell::new(Tick::from_nanos(1)),
            rng: RefCell::new(Rng::new(settings.seed)),
            trace: RefCell::new(Trace::new(settings.trace)),
            failures: RefCell::default(),
            hosts: RefCell::default(),
            faults: RefCell::default(),
            live: RefCell::default(),
            tasks: RefCell::default(),
            ready: RefCell::default(),
            woken,
            wake,
            timers: RefCell::default(),
            waiters: RefCell::default(),
            last_id: Cell::new(0),
            polls: Cell::new(0),
            operations: Cell::new(0),
            settings,
        }
    }

    /// A number that nothing else in this world has.
    pub(crate) fn fresh_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    /// Adds an event to the trace.
    pub(crate) fn event(&self, host: HostId, subject: Subject, verb: &'static str, count: u64) {
        let hosts = self.hosts.borrow();
        self.trace.borrow_mut().event(self.now.get(), &hosts[host.0].name, subject, verb, count);
    }

    /// Adds a remark to the trace.
    pub(crate) fn note(&self, host: HostId, note: String) {
        let hosts = self.hosts.borrow();
        self.trace.borrow_mut().note(self.now.get(), &hosts[host.0].name, note);
    }

    /// Something happened that must not: the run ends.
    pub(crate) fn fail(&self, host: HostId, reason: String) {
        self.note(host, format!("FAILURE: {reason}"));
        self.failures.borrow_mut().push(reason);
    }

    /// Counts an operation that a task tries. One that tries on and on within a poll would hold its shard for ever.
    pub(crate) fn operation(&self, host: HostId) {
        self.operations.set(self.operations.get() + 1);
        if self.operations.get() > OPERATIONS_MAX {
            self.operations.set(0);
            self.fail(host, format!("{OPERATIONS_MAX} operations in one poll: a task never lets go of its shard"));
            panic!("ended by the simulator");
        }
    }

    /// The deadline as it will be kept: a little late, as the seam allows.
    pub(crate) fn late(&self, until: Tick) -> Tick {
        let most = self.settings.late_ms_max * 1_000_000;
        if until == Tick::NEVER || most == 0 {
            return until;
        }
        Tick::from_nanos(until.nanos().saturating_add(self.rng.borrow_mut().below(most + 1)))
    }

    /// Starts a task on `host`.
    pub(crate) fn spawn(&self, host: HostId, future: Pin<Box<dyn Future<Output = ()>>>) {
        let number = self.fresh_id();
        self.event(host, Subject::Task(number), "spawned", 0);
        let task = self.tasks.borrow_mut().add(number, |task| {
            let waker = Waker::from(Arc::new(TaskWaker { task, wake: self.wake.clone() }));
            Task { host, future: Some(future), waker, queued: true }
        });
        self.ready.borrow_mut().push(task);
    }

    /// Tasks of `host` that have not ended.
    pub(crate) fn tasks_of(&self, host: HostId) -> Vec<TaskId> {
        self.tasks.borrow().ids(|task| task.host == host)
    }

    /// Ends tasks without running them further, as a killed process would.
    pub(crate) fn drop_tasks(&self, ids: &[TaskId]) {
        for id in ids {
            let task = self.tasks.borrow_mut().remove(*id);
            if let Some(task) = task {
                self.event(task.host, Subject::Task(id.number), "killed", 0);
                // Its streams close here, which needs the world unborrowed.
                drop(task);
            }
        }
    }

    /// Ends all tasks.
    pub(crate) fn clear(&self) {
        loop {
            let ids = self.tasks.borrow().ids(|_| true);
            if ids.is_empty() {
                return;
            }
            self.drop_tasks(&ids);
        }
    }

    /// Runs one ready task, or moves time.
    pub(crate) fn turn(&self) -> Turn {
        self.collect_woken();
        if self.ready.borrow().is_empty() {
            self.hear_bells();
            self.collect_woken();
        }
        let count = self.ready.borrow().len() as u64;
        if count == 0 {
            return self.advance();
        }
        let chosen = self.rng.borrow_mut().below(count) as usize;
        let task = self.ready.borrow_mut().swap_remove(chosen);
        self.poll(task);
        self.pass_time();
        Turn::Ran
    }

    fn collect_woken(&self) {
        for task in self.woken.try_iter() {
            let mut tasks = self.tasks.borrow_mut();
            let Some(found) = tasks.get_mut(task) else { continue };
            if !found.queued {
                found.queued = true;
                self.ready.borrow_mut().push(task);
            }
        }
    }

    fn poll(&self, id: TaskId) {
        let taken = self.tasks.borrow_mut().get_mut(id).and_then(|task| {
            task.queued = false;
            Some((task.host, task.future.take()?, task.waker.clone()))
        });
        let Some((host, mut future, waker)) = taken else { return };
        self.operations.set(0);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        match polled {
            Ok(Poll::Pending) => self.keep(id, future),
            Ok(Poll::Ready(())) => {
                self.tasks.borrow_mut().remove(id);
                self.event(host, Subject::Task(id.number), "ended", 0);
            }
            Err(panic) => {
                self.tasks.borrow_mut().remove(id);
                self.panicked(host, id, panic.as_ref());
                drop(future);
            }
        }
    }

    fn keep(&self, id: TaskId, future: Pin<Box<dyn Future<Output = ()>>>) {
        let mut tasks = self.tasks.borrow_mut();
        if let Some(task) = tasks.get_mut(id) {
            task.future = Some(future);
            return;
        }
        // It was killed while it ran. Its streams close in the drop, which needs the world unborrowed.
        drop(tasks);
        drop(future);
    }

    fn panicked(&self, host: HostId, id: TaskId, panic: &(dyn Any + Send)) {
        self.event(host, Subject::Task(id.number), "panicked", 0);
        let name = {
            let mut hosts = self.hosts.borrow_mut();
            hosts[host.0].panics += 1;
            hosts[host.0].name.clone()
        };
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("(no text)");
        match self.settings.panics {
            PanicRule::Fail => self.fail(host, format!("a task of {name} panicked: {text}")),
            PanicRule::Count => self.note(host, format!("task {id:?} panicked: {text}")),
        }
    }

    /// A poll takes a little time; one that never lets go of the shard fails the run.
    fn pass_time(&self) {
        let cost = self.rng.borrow_mut().below(self.settings.poll_nanos_max + 1);
        self.now.set(Tick::from_nanos(self.now.get().nanos() + cost));
        self.polls.set(self.polls.get() + 1);
        if self.polls.get() > self.settings.polls_max {
            self.polls.set(0);
            let text =
                format!("{} polls while no timer could fire: a task keeps itself ready", self.settings.polls_max);
            self.fail(HostId(0), text);
        }
    }

    fn advance(&self) -> Turn {
        self.polls.set(0);
        let mut timers = self.timers.borrow_mut();
        let Some(at) = timers.next() else { return Turn::Stuck };
        let now = self.now.get().max(at);
        self.now.set(now);
        while let Some(waker) = timers.due(now) {
            waker.wake();
        }
        Turn::Ran
    }

    /// Wakes a task at `at`.
    pub(crate) fn wake_at(&self, at: Tick, waker: Waker) {
        self.timers.borrow_mut().set((at, self.fresh_id()), waker);
    }

    /// Starts to hear a bell.
    pub(crate) fn hear(&self, bell: &Bell) -> Rc<HeardBell> {
        let heard = Rc::new(HeardBell { bell: bell.clone(), rung: Cell::new(false), waker: RefCell::default() });
        self.waiters.borrow_mut().push(Rc::downgrade(&heard));
        heard
    }

    fn hear_bells(&self) {
        self.waiters.borrow_mut().retain(|ear| ear.strong_count() > 0);
        for heard in self.waiters.borrow().iter().filter_map(Weak::upgrade) {
            if heard.bell.take() {
                heard.rung.set(true);
                if let Some(waker) = heard.waker.take() {
                    waker.wake();
                }
            }
        }
    }
}

/// Reads, writes and looks at the clock within one poll; no honest task comes near it.
const OPERATIONS_MAX: u64 = 1_000_000;

/// At most one timer of a future; forgotten when the future is dropped.
pub(crate) struct Timer {
    world: Rc<World>,
    key: Option<TimerKey>,
}

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new(world: Rc<World>) -> Timer {
        Timer { world, key: None }
    }

    /// Wakes the task at `at` instead of when it was set for before; `NEVER` sets nothing.
    pub(crate) fn set(&mut self, at: Tick, context: &Context<'_>) {
        self.forget();
        if at == Tick::NEVER {
            return;
        }
        let key = (at, self.world.fresh_id());
        self.world.timers.borrow_mut().set(key, context.waker().clone());
        self.key = Some(key);
    }

    fn forget(&mut self) {
        if let Some(key) = self.key.take() {
            self.world.timers.borrow_mut().forget(key);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.forget();
    }
}
