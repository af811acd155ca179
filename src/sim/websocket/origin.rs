// SPDX-License-Identifier: Apache-2.0
//! A WebSocket origin: checks the handshake, accepts it or misbehaves, and then runs its end.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::Rng;
use crate::net::sim::{Sim, SimStream};
use crate::net::{Net, Stream};
use crate::sim::common::Common;
use crate::sim::h2::message;
use crate::sim::h2::peer::{Peer, StreamEvent};
use crate::sim::message_io::{ConversationError, Head, HttpReader, HttpWriter};
use crate::sim::spoken::HttpVersion;
use crate::sim::websocket::Side;
use crate::sim::websocket::client::proof;
use crate::sim::websocket::end;
use crate::sim::websocket::ledger::EndId;
use crate::sim::websocket::line::{FrameReader, FrameWriter};
use crate::sim::websocket::path::{exchange_of, path};
use crate::wire::h2::connection::Ending;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::hpack::Encoder;
use crate::wire::h2::stream::Key;

/// The WebSocket that a head offers.
pub(crate) fn offered(head: &Head) -> Option<u64> {
    head.start.split(' ').nth(1).and_then(exchange_of)
}

/// How an origin behaves on a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// Takes it.
    Right,
    /// Accepts it with a wrong `Sec-WebSocket-Accept`.
    WrongProof,
    /// Responds with another status.
    Unavailable,
    /// Breaks the connection or the stream.
    Reset,
    /// Says nothing.
    Silent,
}

impl Behaviour {
    fn draw(common: &Common, rng: &mut Rng) -> Behaviour {
        match rng.below(4) {
            _ if !rng.chance(common.scenario.misdeeds) => Behaviour::Right,
            0 => Behaviour::WrongProof,
            1 => Behaviour::Unavailable,
            // Without a gateway there is no timeout to end this.
            2 if !common.scenario.direct => Behaviour::Silent,
            _ => Behaviour::Reset,
        }
    }
}

fn check(head: &Head, id: u64, start: &str) -> Result<(), ConversationError> {
    let right = head.start == start
        && head.number("x-exchange")? == Some(id)
        && head.value("host")? == Some("origin.test")
        && head.value("sec-websocket-version")? == Some("13")
        && head.value("content-length")?.is_none()
        && head.value("transfer-encoding")?.is_none();
    if right {
        Ok(())
    } else {
        Err(ConversationError::Malformed(format!("an offer that its client did not make: {head:?}")))
    }
}

/// The connection of a handshake, with its two directions.
pub(crate) struct Offered {
    /// The connection.
    pub stream: Rc<SimStream>,
    /// Where it is read.
    pub listen: HttpReader,
    /// Where it is written.
    pub speak: HttpWriter,
}

/// Accepts an HTTP/1.1 handshake and takes the connection over.
pub(crate) async fn one(common: &Rc<Common>, sim: &Sim, mut offered: Offered, head: &Head, rng: &mut Rng) {
    let taken = take_one(common, sim, &mut offered, head, rng).await;
    let Some(place) = settle(sim, taken) else { return };
    let Offered { listen, speak, .. } = offered;
    end::talk(common, sim, place, (FrameWriter::One(speak), FrameReader::One(listen)), rng).await;
}

fn settle(sim: &Sim, taken: Result<Option<EndId>, ConversationError>) -> Option<EndId> {
    match taken {
        Ok(place) => return place,
        Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {}
        Err(ConversationError::Late) => sim.fail("an origin's offer of a WebSocket was left waiting for ever"),
        Err(ConversationError::Malformed(what)) => sim.fail(format!("the gateway sent an origin {what}")),
    }
    None
}

async fn take_one(
    common: &Rc<Common>,
    sim: &Sim,
    offered: &mut Offered,
    head: &Head,
    rng: &mut Rng,
) -> Result<Option<EndId>, ConversationError> {
    let id = self::offered(head).unwrap_or(0);
    let target = path(HttpVersion::One, id);
    check(head, id, &format!("GET {target} HTTP/1.1"))?;
    let key = head.value("sec-websocket-key")?.unwrap_or_default();
    let upgrade = head.value("upgrade")? == Some("websocket") && head.connection_says("upgrade");
    if !upgrade || STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return Err(ConversationError::Malformed(format!("an offer of something else: {head:?}")));
    }
    let number = common.talks.borrow_mut().arrive(id, HttpVersion::One).map_err(ConversationError::Malformed)?;
    let place = EndId { id, number, side: Side::Origin };
    let behaviour = Behaviour::draw(common, rng);
    sim.note(format!("{place:?}: {behaviour:?}"));
    let accept = match behaviour {
        Behaviour::Right => proof(key),
        Behaviour::WrongProof => {
            common.talks.borrow_mut().answer_wrongly(place).map_err(ConversationError::Malformed)?;
            proof("something else")
        }
        Behaviour::Unavailable => {
            offered.speak.say(b"HTTP/1.1 503 Not here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
            return Ok(None);
        }
        Behaviour::Reset => {
            offered.stream.abort();
            return Ok(None);
        }
        Behaviour::Silent => {
            while offered.listen.more().await? {}
            return Ok(None);
        }
    };
    let now = sim.now();
    common.talks.borrow_mut().answer(place, now).map_err(ConversationError::Malformed)?;
    let answer = format!(
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\
         X-Exchange: {id}\r\nX-Attempt: {number}\r\n\r\n"
    );
    offered.speak.say(answer.as_bytes()).await?;
    Ok(Some(place))
}

/// Accepts an HTTP/2 handshake.
pub(crate) async fn two(common: &Rc<Common>, sim: &Sim, peer: &Rc<Peer>, key: Key, head: &Head, rng: &mut Rng) {
    let taken = take_two(common, sim, peer, key, head, rng).await;
    let Some(place) = settle(sim, taken) else { return };
    end::talk(common, sim, place, (FrameWriter::Two(peer.clone(), key), FrameReader::Two(peer.clone(), key)), rng)
        .await;
}

async fn take_two(
    common: &Rc<Common>,
    sim: &Sim,
    peer: &Peer,
    key: Key,
    head: &Head,
    rng: &mut Rng,
) -> Result<Option<EndId>, ConversationError> {
    let id = offered(head).unwrap_or(0);
    check(head, id, &format!("CONNECT {} HTTP/1.1", path(HttpVersion::Two, id)))?;
    if head.value(":protocol")? != Some("websocket") || head.value("sec-websocket-key")?.is_some() {
        return Err(ConversationError::Malformed(format!("an offer of something else: {head:?}")));
    }
    let number = common.talks.borrow_mut().arrive(id, HttpVersion::Two).map_err(ConversationError::Malformed)?;
    let place = EndId { id, number, side: Side::Origin };
    let behaviour = Behaviour::draw(common, rng);
    sim.note(format!("{place:?}: {behaviour:?}"));
    match behaviour {
        Behaviour::Right | Behaviour::WrongProof => {}
        Behaviour::Unavailable => {
            let block = |out: &mut Vec<u8>, encoder: &mut Encoder| message::response(out, encoder, 503, &[]);
            peer.act(|machine| machine.send_head(key, Ending::Last, block)).map_err(|_| ConversationError::Reset)?;
            return Ok(None);
        }
        Behaviour::Reset => {
            peer.reset(key, ErrorCode::Internal);
            return Ok(None);
        }
        Behaviour::Silent => {
            while !matches!(peer.hear(key).await?, StreamEvent::Reset(_) | StreamEvent::Lost) {}
            return Ok(None);
        }
    }
    let now = sim.now();
    common.talks.borrow_mut().answer(place, now).map_err(ConversationError::Malformed)?;
    let fields = [("x-exchange".to_owned(), id.to_string()), ("x-attempt".to_owned(), number.to_string())];
    let block = |out: &mut Vec<u8>, encoder: &mut Encoder| message::response(out, encoder, 200, &fields);
    peer.act(|machine| machine.send_head(key, Ending::More, block)).map_err(|_| ConversationError::Reset)?;
    Ok(Some(place))
}
