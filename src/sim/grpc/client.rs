// SPDX-License-Identifier: Apache-2.0
//! A caller: gRPC and gRPC-Web over an HTTP/2 stream, gRPC-Web over an HTTP/1.1 connection.

use std::cell::Cell;
use std::rc::Rc;

use crate::base::Rng;
use crate::net::sim::Latch;
use crate::net::sim::{Sim, SimStream};
use crate::net::{Net, Stream};
use crate::sim::common::Common;
use crate::sim::grpc::GrpcProtocol;
use crate::sim::grpc::caller::Caller;
use crate::sim::grpc::ledger::{Outcome, PlannedCall, path};
use crate::sim::grpc::messages::encode;
use crate::sim::h2::message::Request;
use crate::sim::h2::peer::{Peer, StreamEvent};
use crate::sim::message_io::{ConversationError, Framing, Head, HttpReader, HttpWriter};
use crate::sim::spoken::HttpVersion;
use crate::wire::h2::connection::Ending;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::stream::Key;

fn draw(common: &Common, by: HttpVersion, rng: &mut Rng) -> PlannedCall {
    let scenario = &common.scenario;
    let most = scenario.grpc.request_max;
    let words = match rng.below(10) {
        _ if scenario.direct => GrpcProtocol::Plain,
        0..=5 if by == HttpVersion::Two => GrpcProtocol::Plain,
        0..=2 | 6 | 7 => GrpcProtocol::Web,
        _ => GrpcProtocol::Text,
    };
    let mut requests: Vec<u64> = (0..[1, 1, rng.below(8)][rng.below(3) as usize]).map(|_| length(most, rng)).collect();
    if !scenario.direct && rng.chance(40) {
        let at = rng.below(requests.len() as u64 + 1) as usize;
        requests.insert(at, most + 1 + rng.below(2_000));
    }
    let timeout_ms = match rng.below(10) {
        _ if scenario.direct => None,
        0 => Some(1 + rng.below(3_000)),
        1 => Some(1_000 + rng.below(200_000)),
        _ => None,
    };
    PlannedCall { words, requests, timeout_ms }
}

/// A length of a message: often short, at most `most`.
pub(crate) fn length(most: u64, rng: &mut Rng) -> u64 {
    let most = [0, 50, most, most][rng.below(4) as usize].min(most);
    rng.below(most + 1)
}

/// The head's fields.
fn fields(id: u64, ask: &PlannedCall) -> Vec<(String, String)> {
    let mut fields = vec![("x-exchange", id.to_string()), ("content-type", ask.words.content_type().to_owned())];
    match ask.words {
        GrpcProtocol::Plain => fields.push(("te", "trailers".to_owned())),
        GrpcProtocol::Web | GrpcProtocol::Text => {
            fields.push(("x-grpc-web", "1".to_owned()));
            fields.push(("accept", ask.words.content_type().to_owned()));
        }
    }
    if let Some(timeout) = ask.timeout_ms {
        fields.push(("grpc-timeout", format!("{timeout}m")));
    }
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The body, message by message.
fn body(common: &Common, id: u64, words: GrpcProtocol) -> Vec<Vec<u8>> {
    let Ok(row) = common.calls.borrow_mut().requests(id) else { return Vec::new() };
    let messages = (0..row.lengths.len()).map(|index| row.message(index));
    match words {
        GrpcProtocol::Plain | GrpcProtocol::Web => messages.collect(),
        GrpcProtocol::Text => messages.map(|message| encode(&message)).collect(),
    }
}

/// A call on a stream, which is removed afterwards.
pub(crate) async fn two(common: Rc<Common>, sim: Sim, peer: Rc<Peer>, mut rng: Rng) {
    let ask = draw(&common, HttpVersion::Two, &mut rng);
    let id = common.calls.borrow_mut().begin(ask.clone(), sim.now());
    let mut caller = Caller::new(&common, &sim, id, ask.words);
    let (target, fields) = (path(id), fields(id, &ask));
    let request = Request { method: "POST", path: &target, fields: &fields };
    let Some(key) = peer.open(Ending::More, |out, encoder| request.write(out, encoder)) else {
        // Another task of this client closed the connection meanwhile.
        return caller.conclude(Ok(Outcome::Unserved));
    };
    let uploading = Rc::new(Cell::new(true));
    let stalls = rng.chance(common.scenario.stalls);
    let upload = Upload { peer: peer.clone(), key, sim: sim.clone(), messages: body(&common, id, ask.words), stalls };
    let (done, rng_up, waits) = (uploading.clone(), Rng::new(rng.next_u64()), peer.clone());
    sim.spawn(async move {
        upload.run(rng_up).await;
        done.set(false);
        waits.latch.notify();
    });
    if rng.chance(common.scenario.leaves) {
        let (common, sim, peer) = (common.clone(), sim.clone(), peer.clone());
        let most = [5, 300, 20_000][rng.below(3) as usize];
        let at = sim.now().after_ms(rng.below(most));
        sim.clone().spawn(async move {
            sim.sleep_until(at).await;
            if !peer.is_over(key) {
                common.calls.borrow_mut().give_up(id);
                peer.reset(key, ErrorCode::Cancel);
            }
        });
    }
    let heard = answer(&mut caller, &peer, key).await;
    caller.conclude(heard);
    if stalls && !peer.is_over(key) {
        peer.reset(key, ErrorCode::Cancel);
    }
    peer.latch.wait(|| (!uploading.get()).then_some(())).await;
    peer.forget(key);
}

async fn answer(caller: &mut Caller, peer: &Peer, key: Key) -> Result<Outcome, ConversationError> {
    loop {
        match peer.hear(key).await? {
            StreamEvent::Head(head, _) => caller.head(&head)?,
            StreamEvent::Interim(_) => {}
            StreamEvent::Data(bytes) => {
                caller.data(&bytes)?;
                peer.release(key, bytes.len());
            }
            StreamEvent::End(trailers) => return caller.end(trailers),
            StreamEvent::Reset(ErrorCode::RefusedStream) => return Ok(Outcome::Unserved),
            StreamEvent::Reset(ErrorCode::Protocol) => {
                return Err(ConversationError::Malformed("PROTOCOL_ERROR".to_owned()));
            }
            StreamEvent::Reset(_) => return Err(ConversationError::Reset),
            StreamEvent::Lost => return Err(ConversationError::Cut),
        }
    }
}

/// The caller's messages on their way.
struct Upload {
    peer: Rc<Peer>,
    key: Key,
    sim: Sim,
    messages: Vec<Vec<u8>>,
    /// The messages break off in the middle of the last one.
    stalls: bool,
}

impl Upload {
    async fn run(mut self, mut rng: Rng) {
        match self.send(&mut rng).await {
            Ok(()) | Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {}
            Err(ConversationError::Late) => self.sim.fail("a call's messages are taken by nobody, for ever"),
            Err(ConversationError::Malformed(what)) => self.sim.fail(what),
        }
    }

    async fn send(&mut self, rng: &mut Rng) -> Result<(), ConversationError> {
        let count = self.messages.len();
        for (index, message) in std::mem::take(&mut self.messages).into_iter().enumerate() {
            if rng.chance(200) {
                self.sim.sleep_until(self.sim.now().after_ms(rng.below(5_000))).await;
            }
            let last = index + 1 == count && !self.stalls && rng.chance(500);
            let mut rest = &message[..];
            if self.stalls && index + 1 == count {
                rest = &rest[..rest.len() / 2];
            }
            while !rest.is_empty() {
                let most = [6, 500, 20_000][rng.below(3) as usize].max(message.len() as u64 / 20);
                let (piece, behind) = rest.split_at((1 + rng.below(most) as usize).min(rest.len()));
                rest = behind;
                let ending = if last && rest.is_empty() { Ending::Last } else { Ending::More };
                self.peer.send(self.key, piece, ending).await?;
            }
            if last {
                return Ok(());
            }
        }
        match self.stalls {
            true => Ok(()),
            false => self.peer.send(self.key, &[], Ending::Last).await,
        }
    }
}

/// A call on a connection of its own.
pub(crate) async fn one(common: &Rc<Common>, sim: &Sim, stream: Rc<SimStream>, rng: &mut Rng) {
    let scenario = &common.scenario;
    let ask = draw(common, HttpVersion::One, rng);
    let id = common.calls.borrow_mut().begin(ask.clone(), sim.now());
    let mut caller = Caller::new(common, sim, id, ask.words);
    let speak = HttpWriter::new(sim, stream.clone(), scenario.pace(rng), scenario.patience());
    let mut listen = HttpReader::new(sim, stream.clone(), scenario.pace(rng), scenario.patience());
    let (latch, speaking) = (Latch::default(), Rc::new(Cell::new(true)));
    let bytes = request(id, &ask, &body(common, id, ask.words), rng);
    let (done, waits) = (speaking.clone(), latch.clone());
    let mut speak = speak;
    sim.spawn(async move {
        // The response shows whether it arrived.
        let _ = speak.say(&bytes).await;
        done.set(false);
        waits.notify();
    });
    let heard = answer_one(&mut caller, &mut listen).await;
    caller.conclude(heard);
    stream.abort();
    latch.wait(|| (!speaking.get()).then_some(())).await;
}

fn request(id: u64, ask: &PlannedCall, messages: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = format!("POST {} HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n", path(id)).into_bytes();
    for (name, value) in fields(id, ask) {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let body = messages.concat();
    if rng.chance(500) {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
        return bytes;
    }
    bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((1 + rng.below(10_000) as usize).min(rest.len()));
        rest = behind;
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

async fn answer_one(caller: &mut Caller, listen: &mut HttpReader) -> Result<Outcome, ConversationError> {
    let head: Head = loop {
        let Some(head) = listen.head().await? else { return Err(ConversationError::Cut) };
        if !head.start.starts_with("HTTP/1.1 1") {
            break head;
        }
    };
    caller.head(&head)?;
    let framing = head.framing(Framing::Close)?;
    if framing == Framing::Close {
        // Its end would look like a broken connection.
        return Err(ConversationError::Malformed(format!("an answer to a call without an end: {head:?}")));
    }
    let trailers = listen.body(framing, &mut |bytes| caller.data(bytes)).await?;
    caller.end(trailers)
}
