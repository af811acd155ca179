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
use crate::sim::h2::peer::{News, Peer};
use crate::sim::spoken::Spoken;
use crate::sim::talk::{Head, Listen, Speak, Trouble};
use crate::sim::websocket::Side;
use crate::sim::websocket::book::Place;
use crate::sim::websocket::client::proof;
use crate::sim::websocket::end;
use crate::sim::websocket::line::{Ear, Mouth};
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
enum Deed {
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

impl Deed {
    fn draw(common: &Common, rng: &mut Rng) -> Deed {
        match rng.below(4) {
            _ if !rng.chance(common.scenario.misdeeds) => Deed::Right,
            0 => Deed::WrongProof,
            1 => Deed::Unavailable,
            // Without a gateway there is no timeout to end this.
            2 if !common.scenario.direct => Deed::Silent,
            _ => Deed::Reset,
        }
    }
}

fn check(head: &Head, id: u64, start: &str) -> Result<(), Trouble> {
    let right = head.start == start
        && head.number("x-exchange")? == Some(id)
        && head.value("host")? == Some("origin.test")
        && head.value("sec-websocket-version")? == Some("13")
        && head.value("content-length")?.is_none()
        && head.value("transfer-encoding")?.is_none();
    if right { Ok(()) } else { Err(Trouble::Malformed(format!("an offer that its client did not make: {head:?}"))) }
}

/// The connection of a handshake, with its two directions.
pub(crate) struct Offered {
    /// The connection.
    pub stream: Rc<SimStream>,
    /// Where it is read.
    pub listen: Listen,
    /// Where it is written.
    pub speak: Speak,
}

/// Accepts an HTTP/1.1 handshake and takes the connection over.
pub(crate) async fn one(common: &Rc<Common>, sim: &Sim, mut offered: Offered, head: &Head, rng: &mut Rng) {
    let taken = take_one(common, sim, &mut offered, head, rng).await;
    let Some(place) = settle(sim, taken) else { return };
    let Offered { listen, speak, .. } = offered;
    end::talk(common, sim, place, (Mouth::One(speak), Ear::One(listen)), rng).await;
}

fn settle(sim: &Sim, taken: Result<Option<Place>, Trouble>) -> Option<Place> {
    match taken {
        Ok(place) => return place,
        Err(Trouble::Cut | Trouble::Reset | Trouble::Enough) => {}
        Err(Trouble::Late) => sim.fail("an origin's offer of a WebSocket was left waiting for ever"),
        Err(Trouble::Malformed(what)) => sim.fail(format!("the gateway sent an origin {what}")),
    }
    None
}

async fn take_one(
    common: &Rc<Common>,
    sim: &Sim,
    offered: &mut Offered,
    head: &Head,
    rng: &mut Rng,
) -> Result<Option<Place>, Trouble> {
    let id = self::offered(head).unwrap_or(0);
    let target = path(Spoken::One, id);
    check(head, id, &format!("GET {target} HTTP/1.1"))?;
    let key = head.value("sec-websocket-key")?.unwrap_or_default();
    let upgrade = head.value("upgrade")? == Some("websocket") && head.connection_says("upgrade");
    if !upgrade || STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return Err(Trouble::Malformed(format!("an offer of something else: {head:?}")));
    }
    let number = common.talks.borrow_mut().arrive(id, Spoken::One).map_err(Trouble::Malformed)?;
    let place = Place { id, number, side: Side::Origin };
    let deed = Deed::draw(common, rng);
    sim.note(format!("{place:?}: {deed:?}"));
    let accept = match deed {
        Deed::Right => proof(key),
        Deed::WrongProof => {
            common.talks.borrow_mut().answer_wrongly(place).map_err(Trouble::Malformed)?;
            proof("something else")
        }
        Deed::Unavailable => {
            offered.speak.say(b"HTTP/1.1 503 Not here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
            return Ok(None);
        }
        Deed::Reset => {
            offered.stream.abort();
            return Ok(None);
        }
        Deed::Silent => {
            while offered.listen.more().await? {}
            return Ok(None);
        }
    };
    let now = sim.now();
    common.talks.borrow_mut().answer(place, now).map_err(Trouble::Malformed)?;
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
    end::talk(common, sim, place, (Mouth::Two(peer.clone(), key), Ear::Two(peer.clone(), key)), rng).await;
}

async fn take_two(
    common: &Rc<Common>,
    sim: &Sim,
    peer: &Peer,
    key: Key,
    head: &Head,
    rng: &mut Rng,
) -> Result<Option<Place>, Trouble> {
    let id = offered(head).unwrap_or(0);
    check(head, id, &format!("CONNECT {} HTTP/1.1", path(Spoken::Two, id)))?;
    if head.value(":protocol")? != Some("websocket") || head.value("sec-websocket-key")?.is_some() {
        return Err(Trouble::Malformed(format!("an offer of something else: {head:?}")));
    }
    let number = common.talks.borrow_mut().arrive(id, Spoken::Two).map_err(Trouble::Malformed)?;
    let place = Place { id, number, side: Side::Origin };
    let deed = Deed::draw(common, rng);
    sim.note(format!("{place:?}: {deed:?}"));
    match deed {
        Deed::Right | Deed::WrongProof => {}
        Deed::Unavailable => {
            let block = |out: &mut Vec<u8>, encoder: &mut Encoder| message::response(out, encoder, 503, &[]);
            peer.act(|machine| machine.send_head(key, Ending::Last, block)).map_err(|_| Trouble::Reset)?;
            return Ok(None);
        }
        Deed::Reset => {
            peer.reset(key, ErrorCode::Internal);
            return Ok(None);
        }
        Deed::Silent => {
            while !matches!(peer.hear(key).await?, News::Reset(_) | News::Lost) {}
            return Ok(None);
        }
    }
    let now = sim.now();
    common.talks.borrow_mut().answer(place, now).map_err(Trouble::Malformed)?;
    let fields = [("x-exchange".to_owned(), id.to_string()), ("x-attempt".to_owned(), number.to_string())];
    let block = |out: &mut Vec<u8>, encoder: &mut Encoder| message::response(out, encoder, 200, &fields);
    peer.act(|machine| machine.send_head(key, Ending::More, block)).map_err(|_| Trouble::Reset)?;
    Ok(Some(place))
}
