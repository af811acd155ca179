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
use crate::sim::h2::peer::{Peer, StreamEvent};
use crate::sim::message_io::{ConversationError, Framing, Head, HttpReader, HttpWriter};
use crate::sim::spoken::HttpVersion;
use crate::sim::websocket::Side;
use crate::sim::websocket::end;
use crate::sim::websocket::ledger::{EndId, Outcome, WebSocketLedger};
use crate::sim::websocket::line::{FrameReader, FrameWriter};
use crate::sim::websocket::path::path;
use crate::wire::h2::connection::Ending;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::hpack::Encoder;
use crate::wire::h2::stream::Key;

/// A WebSocket on a connection of its own.
pub(crate) async fn one(common: &Rc<Common>, sim: &Sim, stream: Rc<SimStream>, rng: &mut Rng) {
    let scenario = &common.scenario;
    let mut offer = Offer::begin(common, sim, HttpVersion::One, rng);
    let mut speak = HttpWriter::new(sim, stream.clone(), scenario.pace(rng), scenario.patience());
    let mut listen = HttpReader::new(sim, stream.clone(), scenario.pace(rng), scenario.patience());
    let heard = offer.upgrade(&mut speak, &mut listen, rng).await;
    if let Some(place) = offer.judge(heard) {
        end::talk(common, sim, place, (FrameWriter::One(speak), FrameReader::One(listen)), rng).await;
        offer.end(Outcome::Talked);
    }
}

/// A WebSocket on a stream, which is removed afterwards.
pub(crate) async fn two(common: Rc<Common>, sim: Sim, peer: Rc<Peer>, mut rng: Rng) {
    let mut offer = Offer::begin(&common, &sim, HttpVersion::Two, &mut rng);
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
        end::talk(
            &common,
            &sim,
            place,
            (FrameWriter::Two(peer.clone(), key), FrameReader::Two(peer.clone(), key)),
            &mut rng,
        )
        .await;
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
    to: HttpVersion,
    over: bool,
}

/// The result of a handshake.
#[derive(Clone, Copy, Debug)]
enum HandshakeOutcome {
    Opened(u32),
    Refused(u16),
    Unserved,
    /// The client disconnects, because `Sec-WebSocket-Accept` is wrong.
    Disproved,
}

impl Offer {
    fn begin(common: &Rc<Common>, sim: &Sim, by: HttpVersion, rng: &mut Rng) -> Offer {
        let to = if common.scenario.direct { by } else { HttpVersion::ALL[rng.below(2) as usize] };
        let id = common.talks.borrow_mut().begin(by, to);
        sim.note(format!("offers WebSocket {id}"));
        Offer { common: common.clone(), sim: sim.clone(), id, to, over: false }
    }

    fn write<T>(&self, write: impl FnOnce(&mut WebSocketLedger) -> Result<T, String>) -> Result<T, ConversationError> {
        write(&mut self.common.talks.borrow_mut()).map_err(ConversationError::Malformed)
    }

    fn end(&mut self, outcome: Outcome) {
        self.over = true;
        let drains = self.common.draining();
        if let Err(broken) = self.common.talks.borrow_mut().end(self.id, outcome, drains) {
            self.sim.fail(broken);
        }
    }

    /// The end, where a WebSocket was opened.
    fn judge(&mut self, heard: Result<HandshakeOutcome, ConversationError>) -> Option<EndId> {
        match heard {
            Ok(HandshakeOutcome::Opened(number)) => return Some(EndId { id: self.id, number, side: Side::Client }),
            Ok(HandshakeOutcome::Refused(status)) => self.end(Outcome::Refused(status)),
            Ok(HandshakeOutcome::Unserved) => self.end(Outcome::Unserved),
            Ok(HandshakeOutcome::Disproved)
            | Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {
                self.end(Outcome::Broken)
            }
            Err(ConversationError::Late) => self.sim.fail(format!("WebSocket {}: its client waits for ever", self.id)),
            Err(ConversationError::Malformed(what)) => self.sim.fail(format!("WebSocket {}: {what}", self.id)),
        }
        None
    }

    /// False where the client sees a wrong `Sec-WebSocket-Accept`.
    fn open(&self, head: &Head) -> Result<(u32, bool), ConversationError> {
        let number = head.number("x-attempt")?.unwrap_or(0) as u32;
        if head.number("x-exchange")? != Some(self.id) {
            return Err(ConversationError::Malformed(format!("opened by an answer to something else: {head:?}")));
        }
        let place = EndId { id: self.id, number, side: Side::Client };
        let now = self.sim.now();
        Ok((number, self.write(|ledger| ledger.open(place, now))?))
    }

    async fn upgrade(
        &mut self,
        speak: &mut HttpWriter,
        listen: &mut HttpReader,
        rng: &mut Rng,
    ) -> Result<HandshakeOutcome, ConversationError> {
        let key = STANDARD.encode([rng.next_u64().to_be_bytes(), rng.next_u64().to_be_bytes()].concat());
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: origin.test\r\nX-Exchange: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
            path(self.to, self.id),
            self.id
        );
        speak.say(head.as_bytes()).await?;
        loop {
            let Some(head) = listen.head().await? else { return Err(ConversationError::Cut) };
            let status = status(&head)?;
            if status == 101 {
                let (number, proven) = self.open(&head)?;
                let accept = head.value("sec-websocket-accept")?.map(str::to_owned);
                if !proven {
                    return Ok(HandshakeOutcome::Disproved);
                }
                let upgrade = head.value("upgrade")?.is_some_and(|name| name.eq_ignore_ascii_case("websocket"));
                if accept != Some(proof(&key)) || !upgrade || !head.connection_says("upgrade") {
                    return Err(ConversationError::Malformed(format!("a switch that is none: {head:?}")));
                }
                return Ok(HandshakeOutcome::Opened(number));
            }
            if status >= 200 {
                listen.body(head.framing(Framing::Close)?, &mut |_| Ok(())).await?;
                return Ok(HandshakeOutcome::Refused(status));
            }
        }
    }

    async fn connect(&mut self, peer: &Peer, key: Key) -> Result<HandshakeOutcome, ConversationError> {
        loop {
            match peer.hear(key).await? {
                StreamEvent::Head(head, ending) => {
                    let status = status(&head)?;
                    if status >= 300 {
                        return self.hear_out(peer, key, status).await;
                    }
                    let (number, proven) = self.open(&head)?;
                    if !proven || ending == Ending::Last || head.value("sec-websocket-accept")?.is_some() {
                        return Err(ConversationError::Malformed(format!("a switch that is none: {head:?}")));
                    }
                    return Ok(HandshakeOutcome::Opened(number));
                }
                StreamEvent::Interim(_) => {}
                StreamEvent::Reset(ErrorCode::RefusedStream) => return Ok(HandshakeOutcome::Unserved),
                StreamEvent::Reset(ErrorCode::Protocol) => {
                    return Err(ConversationError::Malformed("PROTOCOL_ERROR".to_owned()));
                }
                StreamEvent::Reset(_) => return Err(ConversationError::Reset),
                StreamEvent::Lost => return Err(ConversationError::Cut),
                StreamEvent::Data(_) | StreamEvent::End(_) => {
                    return Err(ConversationError::Malformed("content without a head".to_owned()));
                }
            }
        }
    }

    async fn hear_out(&self, peer: &Peer, key: Key, status: u16) -> Result<HandshakeOutcome, ConversationError> {
        loop {
            match peer.hear(key).await? {
                StreamEvent::Data(bytes) => peer.release(key, bytes.len()),
                StreamEvent::End(_) => return Ok(HandshakeOutcome::Refused(status)),
                StreamEvent::Reset(_) => return Err(ConversationError::Reset),
                StreamEvent::Lost => return Err(ConversationError::Cut),
                StreamEvent::Head(..) | StreamEvent::Interim(_) => {
                    return Err(ConversationError::Malformed("a second head".to_owned()));
                }
            }
        }
    }
}

fn status(head: &Head) -> Result<u16, ConversationError> {
    let status = head.start.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| ConversationError::Malformed(format!("the status in {:?}", head.start)))
}

/// The value of `Sec-WebSocket-Accept` for a key (RFC 6455 section 4.2.2).
pub(crate) fn proof(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}
