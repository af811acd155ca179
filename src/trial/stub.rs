// SPDX-License-Identifier: Apache-2.0
//! What stands in the place of an endpoint: notes the requests that it gets and responds as the test says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::Address;
use crate::net::sim::{Sim, SimStream};
use crate::net::{Listener, Net};
use crate::trial::connection::{Connection, lines};
use crate::trial::exchange::{Line, Received};
use crate::trial::spec::{Failure, StubSpec};
use crate::wire::h1::body::Body;
use crate::wire::h1::{Caps, Parsed, request};
use crate::wire::head::{Method, Request, RequestHead};
use crate::wire::status;

/// One endpoint.
pub(super) struct Stub {
    /// The upstream's name.
    pub upstream: Box<str>,
    /// The endpoint's name.
    pub endpoint: Box<str>,
    /// Where it is.
    pub address: Address,
    /// What it responds with, in order; the last one stays.
    pub responses: Vec<StubSpec>,
    /// Responses that were given.
    pub given: Rc<Cell<usize>>,
    /// What all endpoints got.
    pub received: Rc<RefCell<Vec<Received>>>,
}

impl Stub {
    /// Serves connections for ever.
    pub(super) async fn run(self: Rc<Stub>, sim: Sim) {
        let listener = sim.listen(&self.address);
        while let Ok(stream) = listener.accept().await {
            let (stub, machine) = (self.clone(), sim.clone());
            sim.spawn(async move {
                let mut connection = Connection::new(stream);
                while stub.serve(&mut connection, &machine).await.is_some() {}
            });
        }
    }

    /// Serves one request. `None` where that was the last one of its connection.
    async fn serve(&self, connection: &mut Connection<SimStream>, sim: &Sim) -> Option<()> {
        let mut head = RequestHead::default();
        loop {
            match request::parse(&connection.held, &Caps::default(), &mut head) {
                Ok(Parsed::Complete) => break,
                Ok(Parsed::Partial) => {}
                Err(_) => return None,
            }
            if !matches!(connection.more().await, Ok(true)) {
                return None;
            }
        }
        let bytes: Vec<u8> = connection.held.drain(..head.len).collect();
        let request = Request { bytes: &bytes, head: &head };
        if head.expects_continue {
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        let (body, whole) = match connection.body(Body::request(head.body)).await {
            Ok(body) => (body, Some(())),
            Err((body, _)) => (body, None),
        };
        self.received.borrow_mut().push(Received {
            upstream: self.upstream.clone(),
            endpoint: self.endpoint.clone(),
            method: request.method_text().to_vec(),
            target: head.target.of(&bytes).to_vec(),
            fields: lines(&head.fields, &bytes),
            body,
        });
        whole?;
        let number = self.given.get().min(self.responses.len().saturating_sub(1));
        self.given.set(self.given.get() + 1);
        let response = self.responses.get(number)?;
        if let Some(delay) = &response.delay {
            sim.sleep_exactly_until(sim.now().after(delay.0)).await;
        }
        self.respond(connection, response, head.method).await
    }

    async fn respond(&self, to: &mut Connection<SimStream>, spec: &StubSpec, method: Method) -> Option<()> {
        let mut out = format!("HTTP/1.1 {} {}\r\n", spec.status, status::reason(spec.status)).into_bytes();
        for (name, value) in field_lines(spec) {
            out.extend_from_slice(&[&name, &b": "[..], &value, b"\r\n"].concat());
        }
        let bodiless = method == Method::Head || matches!(spec.status, 100..200 | 204 | 304);
        if !matches!(spec.status, 100..200 | 204) {
            out.extend_from_slice(format!("Content-Length: {}\r\n", spec.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if !bodiless {
            out.extend_from_slice(spec.body.as_bytes());
        }
        match spec.failure {
            None => to.write(&out).await.ok(),
            Some(Failure::Truncated) => {
                out.truncate(out.len() - spec.body.len().div_ceil(2));
                to.write(&out).await.ok()?;
                None
            }
            Some(Failure::Silent) => {
                // Until the gateway closes the connection.
                while matches!(to.more().await, Ok(true)) {}
                None
            }
            Some(Failure::Closed | Failure::Refused | Failure::Unreachable) => None,
        }
    }
}

fn field_lines(spec: &StubSpec) -> impl Iterator<Item = Line> {
    let lines = spec.headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    lines.map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()))
}
