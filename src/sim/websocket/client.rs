// SPDX-License-Identifier: Apache-2.0
//! A client's WebSocket handshake: GET with `Upgrade`, or extended CONNECT (RFC 8441).

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::base::Rng;
use crate::net::Net;
use crate::net::sim::{Sim, SimStream};
use crate::sim::common::Common;
use crate::sim::h2::message;
use crate::sim::h2::peer::{News, Peer};
use crate::sim::spoken::Spoken;
use crate::sim::talk::{Framing, Head, Listen, Speak, Trouble};
use crate::sim::websocket::Side;
use crate::sim::websocket::book::{Book, Outcome, Place};
use crate::sim::websocket::end;
use crate::sim::websocket::line::{Ear, Mouth};
use crate::sim::websocket::path::path;
use crate::wire::h2::connection::Ending;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::hpack::Encoder;
use crate::wire::h2::stream::Key;

/// A WebSocket on a connection of its own.
pub(crate) async fn one(common: &Rc<Common>, sim: &Sim, stream: Rc<SimStream>, rng: &mut Rng) {
    let scenario = &common.scenario;
    let mut offer = Offer::begin(common, sim, Spoken::One, rng);
    let mut speak = Speak::new(sim, stream.clone(), scenario.pace(rng), scenario.patience());
    let mut listen = Listen::new(sim, stream.clone(), scenario.pace(rng), scenario.patience());
    let heard = offer.upgrade(&mut speak, &mut listen, rng).await;
    if let Some(place) = offer.judge(heard) {
        end::talk(common, sim, place, (Mouth::One(speak), Ear::One(listen)), rng).await;
        offer.end(Outcome::Talked);
    }
}

/// A WebSocket on a stream, which is removed afterwards.
pub(crate) async fn two(common: Rc<Common>, sim: Sim, peer: Rc<Peer>, mut rng: Rng) {
    let mut offer = Offer::begin(&common, &sim, Spoken::Two, &mut rng);
    let target = path(offer.to, offer.id);
    let fields =
        [("x-exchange".to_owned(), offer.id.to_string()), ("sec-websocket-version".to_owned(), "13".to_owned())];
    let block = |out: &mut Vec<u8>, encoder: &mut Encoder| message::connect(out, encoder, &target, &fields);
    let Some(key) = peer.open(Ending::More, block) else {
        // Another task of this client closed the connection meanwhile.
        return offer.end(Outcome::Unserved);
    };
    let heard = offer.connect(&peer, key).await;
    if let Some(place) = offer.judge(heard) {
        end::talk(&common, &sim, place, (Mouth::Two(peer.clone(), key), Ear::Two(peer.clone(), key)), &mut rng).await;
        offer.end(Outcome::Talked);
    }
    if !peer.is_over(key) {
        peer.reset(key, ErrorCode::Cancel);
    }
    peer.forget(key);
}

struct Offer {
    common: Rc<Common>,
    sim: Sim,
    id: u64,
    to: Spoken,
    over: bool,
}

/// The result of a handshake.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Opened(u32),
    Refused(u16),
    Unserved,
    /// The client disconnects, because `Sec-WebSocket-Accept` is wrong.
    Disproved,
}

impl Offer {
    fn begin(common: &Rc<Common>, sim: &Sim, by: Spoken, rng: &mut Rng) -> Offer {
        let to = if common.scenario.direct { by } else { Spoken::ALL[rng.below(2) as usize] };
        let id = common.talks.borrow_mut().begin(by, to);
        sim.note(format!("offers WebSocket {id}"));
        Offer { common: common.clone(), sim: sim.clone(), id, to, over: false }
    }

    fn write<T>(&self, write: impl FnOnce(&mut Book) -> Result<T, String>) -> Result<T, Trouble> {
        write(&mut self.common.talks.borrow_mut()).map_err(Trouble::Malformed)
    }

    fn end(&mut self, outcome: Outcome) {
        self.over = true;
        let drains = self.common.draining();
        if let Err(broken) = self.common.talks.borrow_mut().end(self.id, outcome, drains) {
            self.sim.fail(broken);
        }
    }

    /// The end, where a WebSocket was opened.
    fn judge(&mut self, heard: Result<Reply, Trouble>) -> Option<Place> {
        match heard {
            Ok(Reply::Opened(number)) => return Some(Place { id: self.id, number, side: Side::Client }),
            Ok(Reply::Refused(status)) => self.end(Outcome::Refused(status)),
            Ok(Reply::Unserved) => self.end(Outcome::Unserved),
            Ok(Reply::Disproved) | Err(Trouble::Cut | Trouble::Reset | Trouble::Enough) => self.end(Outcome::Broken),
            Err(Trouble::Late) => self.sim.fail(format!("WebSocket {}: its client waits for ever", self.id)),
            Err(Trouble::Malformed(what)) => self.sim.fail(format!("WebSocket {}: {what}", self.id)),
        }
        None
    }

    /// False where the client sees a wrong `Sec-WebSocket-Accept`.
    fn open(&self, head: &Head) -> Result<(u32, bool), Trouble> {
        let number = head.number("x-attempt")?.unwrap_or(0) as u32;
        if head.number("x-exchange")? != Some(self.id) {
            return Err(Trouble::Malformed(format!("opened by an answer to something else: {head:?}")));
        }
        let place = Place { id: self.id, number, side: Side::Client };
        let now = self.sim.now();
        Ok((number, self.write(|book| book.open(place, now))?))
    }

    async fn upgrade(&mut self, speak: &mut Speak, listen: &mut Listen, rng: &mut Rng) -> Result<Reply, Trouble> {
        let key = STANDARD.encode([rng.next_u64().to_be_bytes(), rng.next_u64().to_be_bytes()].concat());
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: origin.test\r\nX-Exchange: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
            path(self.to, self.id),
            self.id
        );
        speak.say(head.as_bytes()).await?;
        loop {
            let Some(head) = listen.head().await? else { return Err(Trouble::Cut) };
            let status = status(&head)?;
            if status == 101 {
                let (number, proven) = self.open(&head)?;
                let accept = head.value("sec-websocket-accept")?.map(str::to_owned);
                if !proven {
                    return Ok(Reply::Disproved);
                }
                let upgrade = head.value("upgrade")?.is_some_and(|name| name.eq_ignore_ascii_case("websocket"));
                if accept != Some(proof(&key)) || !upgrade || !head.connection_says("upgrade") {
                    return Err(Trouble::Malformed(format!("a switch that is none: {head:?}")));
                }
                return Ok(Reply::Opened(number));
            }
            if status >= 200 {
                listen.body(head.framing(Framing::Close)?, &mut |_| Ok(())).await?;
                return Ok(Reply::Refused(status));
            }
        }
    }

    async fn connect(&mut self, peer: &Peer, key: Key) -> Result<Reply, Trouble> {
        loop {
            match peer.hear(key).await? {
                News::Head(head, ending) => {
                    let status = status(&head)?;
                    if status >= 300 {
                        return self.hear_out(peer, key, status).await;
                    }
                    let (number, proven) = self.open(&head)?;
                    if !proven || ending == Ending::Last || head.value("sec-websocket-accept")?.is_some() {
                        return Err(Trouble::Malformed(format!("a switch that is none: {head:?}")));
                    }
                    return Ok(Reply::Opened(number));
                }
                News::Interim(_) => {}
                News::Reset(ErrorCode::RefusedStream) => return Ok(Reply::Unserved),
                News::Reset(ErrorCode::Protocol) => return Err(Trouble::Malformed("PROTOCOL_ERROR".to_owned())),
                News::Reset(_) => return Err(Trouble::Reset),
                News::Lost => return Err(Trouble::Cut),
                News::Data(_) | News::End(_) => return Err(Trouble::Malformed("content without a head".to_owned())),
            }
        }
    }

    async fn hear_out(&self, peer: &Peer, key: Key, status: u16) -> Result<Reply, Trouble> {
        loop {
            match peer.hear(key).await? {
                News::Data(bytes) => peer.release(key, bytes.len()),
                News::End(_) => return Ok(Reply::Refused(status)),
                News::Reset(_) => return Err(Trouble::Reset),
                News::Lost => return Err(Trouble::Cut),
                News::Head(..) | News::Interim(_) => return Err(Trouble::Malformed("a second head".to_owned())),
            }
        }
    }
}

fn status(head: &Head) -> Result<u16, Trouble> {
    let status = head.start.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| Trouble::Malformed(format!("the status in {:?}", head.start)))
}

/// The value of `Sec-WebSocket-Accept` for a key (RFC 6455 section 4.2.2).
pub(crate) fn proof(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}
