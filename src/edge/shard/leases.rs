//! This shard's end of the leases that exact limits live by (`policy::limit`): carries their messages, and lets
//! requests wait for a grant.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::base::{PolicyId, Tick};
use crate::edge::shard::bound::Bound;
use crate::link::{FromShard, Outbox};
use crate::net::Net;
use crate::policy::limit::LeaseReply;

/// Keys of a limit that one round of housekeeping looks at.
const SWEEP_COUNT: usize = 256;

/// Requests that wait for a grant.
#[derive(Debug, Default)]
pub struct Leases {
    waiting: RefCell<Vec<Waiting>>,
    next: std::cell::Cell<u64>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    policy: Arc<str>,
    key: u64,
    granted: bool,
    waker: Option<Waker>,
}

impl Leases {
    /// Sends what a policy has to say. What the queue refuses stays with the policy and is sent later.
    pub fn send<N: Net>(&self, bound: &Bound<N>, id: PolicyId, outbox: &Outbox) {
        let mut own = bound.own(id).borrow_mut();
        while let Some(message) = own.message() {
            if outbox.send(FromShard::Lease(message)).is_err() {
                break;
            }
            own.sent();
        }
    }

    /// The account answered, or wants something back.
    pub fn receive<N: Net>(&self, bound: &Bound<N>, reply: LeaseReply, outbox: &Outbox, now: Tick) {
        // A limit that a reload took away: its slots went with it, on both sides.
        let Some(id) = bound.plan.policy_of_limit(reply.limit()) else { return };
        let plan = bound.plan.policy(id);
        let freed = bound.own(id).borrow_mut().receive(reply, now);
        self.send(bound, id, outbox);
        let Some(key) = freed else { return };
        for waiting in self.waiting.borrow_mut().iter_mut() {
            if waiting.key == key && *waiting.policy == *plan.name {
                waiting.granted = true;
                if let Some(waker) = waiting.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Gives up what is idle and sends what waits.
    pub fn keep_house<N: Net>(&self, bound: &Bound<N>, outbox: &Outbox, now: Tick) {
        for id in (0..bound.plan.policies.len() as u32).map(PolicyId) {
            bound.own(id).borrow_mut().sweep(SWEEP_COUNT, now);
            self.send(bound, id, outbox);
        }
    }

    /// Waits until a grant for the key arrives. False where none came until `until`.
    pub async fn wait<N: Net>(&self, net: &N, policy: &Arc<str>, key: u64, until: Tick) -> bool {
        let number = self.next.get();
        self.next.set(number + 1);
        let waiting = Waiting { number, policy: policy.clone(), key, granted: false, waker: None };
        self.waiting.borrow_mut().push(waiting);
        let mut timeout = std::pin::pin!(net.sleep_until(until));
        let granted = poll_fn(|context| {
            let mut waiting = self.waiting.borrow_mut();
            let own = waiting.iter_mut().find(|waiting| waiting.number == number);
            let granted = own.is_some_and(|own| {
                own.waker = Some(context.waker().clone());
                own.granted
            });
            if granted {
                return Poll::Ready(true);
            }
            timeout.as_mut().poll(context).map(|()| false)
        })
        .await;
        self.waiting.borrow_mut().retain(|waiting| waiting.number != number);
        granted
    }
}
