// SPDX-License-Identifier: Apache-2.0
//! One request over HTTP/2 (RFC 9113), on a connection of its own.

use std::rc::Rc;

use crate::base::{Buf, Scheme, Tick};
use crate::net::sim::{Sim, SimStream};
use crate::net::tls::Transport;
use crate::net::{Net, Stream};
use crate::trial::connection::lines;
use crate::trial::exchange::{End, Response};
use crate::trial::outgoing::Outgoing;
use crate::wire::h2::connection::{Config, Connection, Ending, Event, Input};
use crate::wire::h2::hpack::{Encoder, Mark};
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::stream::Key;
use crate::wire::head::{Method, ResponseHead};

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Sends the request and reads the response. `None` where the connection or the stream ends without one.
pub(super) async fn exchange(outgoing: &Outgoing, transport: Transport<SimStream>, sim: &Sim) -> Option<Response> {
    let mut machine = Connection::client(Rc::new(Config::default()), sim.now());
    let ending = if outgoing.body.is_empty() { Ending::Last } else { Ending::More };
    let key = machine.open(ending, |out, encoder| outgoing.write(out, encoder)).ok()?;
    let mut exchange = Exchange { key, method: Method::of(&outgoing.method), response: None, at: 0 };
    loop {
        exchange.upload(&mut machine, &outgoing.body, sim.now());
        let mut out = Vec::new();
        machine.take_output(&mut out);
        if !out.is_empty() && transport.write(Buf::copied(&out), Tick::NEVER).await.0.is_err() {
            return exchange.cut();
        }
        let (read, buf) = transport.read(Buf::with_capacity(READ_BYTES), Tick::NEVER).await;
        if !matches!(read, Ok(1..)) {
            return exchange.cut();
        }
        let mut input = Input::new(buf.filled());
        loop {
            match machine.next(&mut input, sim.now()) {
                Ok(Some(event)) => {
                    if exchange.take(event, &mut machine, buf.filled()) == Progress::Over {
                        return exchange.response;
                    }
                }
                Ok(None) => break,
                Err(_) => return exchange.cut(),
            }
        }
    }
}

/// How far an exchange is.
#[derive(PartialEq, Eq)]
enum Progress {
    Open,
    Over,
}

struct Exchange {
    key: Key,
    method: Method,
    response: Option<Response>,
    /// Bytes of the body that were sent.
    at: usize,
}

impl Exchange {
    /// Sends what windows allow of the body.
    fn upload(&mut self, machine: &mut Connection, body: &[u8], now: Tick) {
        while self.at < body.len()
            && let Ok(sent @ 1..) = machine.send_data(self.key, &body[self.at..], Ending::Last, now)
        {
            self.at += sent;
        }
    }

    fn take(&mut self, event: Event, machine: &mut Connection, bytes: &[u8]) -> Progress {
        match event {
            Event::Head { key, end } if key == self.key => {
                let content = if end { Content::Ended } else { Content::Follows };
                let mut head = ResponseHead::default();
                let section = machine.section();
                if message::response(section, content, self.method, &mut head).is_err() {
                    return Progress::Over;
                }
                let fields = lines(&head.fields, &section.bytes);
                self.response = Some(Response { status: head.status, fields, ..Response::default() });
                if end { Progress::Over } else { Progress::Open }
            }
            Event::Data { key, bytes: range, end } => {
                let count = range.len();
                if let Some(response) = self.response.as_mut().filter(|_| key == self.key) {
                    response.body.extend_from_slice(&bytes[range]);
                }
                machine.release(key, count);
                if end && key == self.key { Progress::Over } else { Progress::Open }
            }
            Event::Trailers { key } if key == self.key => Progress::Over,
            Event::Reset { key, .. } if key == self.key => {
                self.response = self.response.take().map(|response| Response { end: End::Cut, ..response });
                Progress::Over
            }
            Event::Head { .. }
            | Event::Interim { .. }
            | Event::Trailers { .. }
            | Event::Reset { .. }
            | Event::StreamWindow { .. }
            | Event::AnyWindow
            | Event::Settings
            | Event::SettingsAcked
            | Event::GoAway { .. }
            | Event::PingAck { .. } => Progress::Open,
        }
    }

    /// What there is where the connection broke off.
    fn cut(self) -> Option<Response> {
        self.response.map(|response| Response { end: End::Cut, ..response })
    }
}

impl Outgoing {
    fn write(&self, out: &mut Vec<u8>, encoder: &mut Encoder) {
        encoder.begin(out);
        encoder.method(out, &self.method);
        encoder.scheme(out, if self.scheme == Scheme::Https { b"https" } else { b"http" });
        encoder.authority(out, self.authority.as_bytes());
        encoder.path(out, self.target.as_bytes());
        for (name, value) in &self.fields {
            encoder.field_in_any_case(out, &name.to_ascii_lowercase(), value, Mark::Ordinary);
        }
        if !self.body.is_empty() && !self.has("content-length") {
            encoder.field_in_any_case(out, b"content-length", self.body.len().to_string().as_bytes(), Mark::Ordinary);
        }
    }
}
