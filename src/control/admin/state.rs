// SPDX-License-Identifier: Apache-2.0
//! What the admin servers of a process share: the routes, the way to the control plane, and who may ask.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::control::admin::attempts::Attempts;
use crate::control::admin::audit::Audit;
use crate::control::admin::idempotency::Idempotency;
use crate::control::admin::problem::Problem;
use crate::control::admin::request::AdminRequest;
use crate::control::admin::router::Route;

/// What the admin servers of a process share.
#[derive(Debug)]
pub(crate) struct AdminState {
    /// The way to the control plane.
    pub asks: mpsc::Sender<AdminRequest>,
    /// Everything that is served.
    pub routes: Vec<Route>,
    /// Who changed what.
    pub audit: RefCell<Audit>,
    /// What the keys begin with that the gateway makes.
    pub key_prefix: RefCell<Arc<str>>,
    /// Wrong tokens.
    pub attempts: RefCell<Attempts>,
    /// Requests that may be sent again.
    pub idempotency: RefCell<Idempotency>,
}

impl AdminState {
    /// A state in which nobody has changed anything yet.
    pub(crate) fn new(asks: mpsc::Sender<AdminRequest>, routes: Vec<Route>) -> AdminState {
        let (audit, attempts, idempotency) = Default::default();
        let key_prefix = RefCell::new(Arc::from("tpk"));
        AdminState { asks, routes, audit, key_prefix, attempts, idempotency }
    }

    /// Asks the control plane.
    pub(crate) async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> AdminRequest) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(question(reply)).await.map_err(|_| Problem::no_answer())?;
        answer.await.map_err(|_| Problem::no_answer())
    }
}
