// SPDX-License-Identifier: Apache-2.0
//! Our client against our server, with what is on the way cut and delayed at random: every byte arrives, in order, and
//! the windows of both sides agree.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::base::Rng;
use crate::wire::head::BodyLength;

/// One side: its machine, what it still has to send, and what has come.
struct Side {
    connection: Connection,
    /// On its way to the other side.
    wire: Vec<u8>,
    sending: HashMap<u32, (Key, Vec<u8>, usize)>,
    received: HashMap<u32, Vec<u8>>,
    held: Vec<(Key, usize)>,
    ended: Vec<u32>,
    reset: Vec<u32>,
}

/// The content of a stream, by its number and direction.
fn content(stream: u32, role: Role, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(u64::from(stream) * 2 + u64::from(role == Role::Server));
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

impl Side {
    fn new(role: Role, rng: &mut Rng) -> Side {
        let config = Rc::new(Config {
            streams_max: 4,
            stream_window: 400 + rng.below(200_000) as u32,
            stream_window_first: 400 + rng.below(100_000) as u32,
            connection_window: 65_535 + rng.below(100_000) as u32,
            // Windows of a few bytes are the point here.
            flood: Flood::ALL.into_iter().fold(FloodLimits::default(), |limits, kind| {
                limits.with(kind, crate::wire::h2::flood::Limit { burst: 1_000_000, per_second: 0 })
            }),
            ..Config::default()
        });
        let connection = match role {
            Role::Server => Connection::server(config, Tick::ZERO),
            Role::Client => Connection::client(config, Tick::ZERO),
        };
        Side {
            connection,
            wire: Vec::new(),
            sending: HashMap::new(),
            received: HashMap::new(),
            held: Vec::new(),
            ended: Vec::new(),
            reset: Vec::new(),
        }
    }

    /// Takes in some of what the other side has sent.
    fn read(&mut self, from: &mut Vec<u8>, rng: &mut Rng, lens: &HashMap<u32, usize>) {
        let count = rng.below(from.len() as u64 + 1) as usize;
        let piece: Vec<u8> = from.drain(..count).collect();
        let mut input = Input::new(&piece);
        let role = self.connection.role();
        while let Some(event) = self.connection.next(&mut input, Tick::ZERO).expect("the other side keeps the rules") {
            match event {
                Event::Head { key, end } => {
                    assert!(!end);
                    let len = lens[&key.id()];
                    self.connection.expect(key, BodyLength::Exact(len as u64));
                    if role == Role::Server {
                        self.connection.send_head(key, Ending::More, |out, _| out.extend_from_slice(OK)).unwrap();
                        self.sending.insert(key.id(), (key, content(key.id(), role, len), 0));
                        self.connection.offer(key);
                    }
                }
                Event::Data { key, bytes, end } => {
                    self.held.push((key, bytes.len()));
                    self.received.entry(key.id()).or_default().extend_from_slice(&piece[bytes]);
                    if end {
                        self.ended.push(key.id());
                    }
                }
                Event::Trailers { key } => self.ended.push(key.id()),
                Event::Reset { key, .. } => {
                    self.sending.remove(&key.id());
                    self.reset.push(key.id());
                    self.connection.forget(key, Tick::ZERO);
                }
                Event::StreamWindow { key } => self.connection.offer(key),
                Event::AnyWindow | Event::Settings => {
                    self.sending.values().for_each(|(key, ..)| self.connection.offer(*key));
                }
                Event::SettingsAcked | Event::GoAway { .. } | Event::PingAck { .. } | Event::Interim { .. } => {}
            }
        }
    }

    /// Sends a frame of whichever stream's turn it is.
    fn write(&mut self, rng: &mut Rng) {
        let Some(key) = self.connection.pick() else { return };
        let (_, bytes, at) = self.sending.get_mut(&key.id()).expect("it offered itself");
        let most = 1 + rng.below(40_000) as usize;
        let wanted = most.min(bytes.len() - *at);
        let trailers = key.id() % 4 == 1;
        let last = *at + wanted == bytes.len() && !trailers;
        let ending = if last { Ending::Last } else { Ending::More };
        match self.connection.grant(key, wanted, ending, Tick::ZERO) {
            Grant::Frame { header, len, .. } => {
                self.connection.take_output(&mut self.wire);
                self.wire.extend_from_slice(&header);
                self.wire.extend_from_slice(&bytes[*at..*at + len]);
                *at += len;
            }
            Grant::Blocked => return,
            Grant::Gone => panic!("it offered itself"),
        }
        if *at < bytes.len() {
            return self.connection.offer(key);
        }
        self.sending.remove(&key.id());
        if trailers {
            self.connection.send_trailers(key, |out, _| out.extend_from_slice(TRAILERS)).unwrap();
        }
    }

    /// Gives some of what it holds free.
    fn release(&mut self, rng: &mut Rng) {
        if self.held.is_empty() {
            return;
        }
        let at = rng.below(self.held.len() as u64) as usize;
        let (key, count) = self.held.swap_remove(at);
        let part = rng.below(count as u64 + 1) as usize;
        self.connection.release(key, part);
        if part < count {
            self.held.push((key, count - part));
        }
    }
}

fn play(seed: u64) {
    let mut rng = Rng::new(seed);
    let (mut client, mut server) = (Side::new(Role::Client, &mut rng), Side::new(Role::Server, &mut rng));
    let mut lens = HashMap::new();
    let mut keys = Vec::new();
    let mut steps = 0;
    while client.ended.len() + client.reset.len() < 8 {
        steps += 1;
        assert!(steps < 5_000_000, "it hangs: {seed}");
        match rng.below(10) {
            0 if keys.len() < 8 && client.connection.openable() > 0 => {
                let opened = client.connection.open(Ending::More, |out, _| out.extend_from_slice(GET));
                let key = opened.expect("it is openable");
                let len = 1 + rng.below(150_000) as usize;
                lens.insert(key.id(), len);
                client.sending.insert(key.id(), (key, content(key.id(), Role::Client, len), 0));
                client.connection.offer(key);
                keys.push(key);
            }
            1 | 2 => client.write(&mut rng),
            3 | 4 => server.write(&mut rng),
            5 => client.release(&mut rng),
            6 => server.release(&mut rng),
            7 => server.read(&mut client.wire, &mut rng, &lens),
            8 => client.read(&mut server.wire, &mut rng, &lens),
            _ => {
                client.connection.take_output(&mut client.wire);
                server.connection.take_output(&mut server.wire);
            }
        }
        // Sometimes one side gives up.
        if rng.chance(2)
            && let Some(key) = keys.last()
            && client.sending.remove(&key.id()).is_some()
        {
            client.connection.reset(*key, ErrorCode::Cancel, Tick::ZERO);
            client.reset.push(key.id());
            client.connection.forget(*key, Tick::ZERO);
        }
        for key in &keys {
            if client.ended.contains(&key.id()) && !client.sending.contains_key(&key.id()) {
                client.held.retain(|(held, _)| held != key);
                client.connection.forget(*key, Tick::ZERO);
            }
        }
    }
    for (side, other) in [(&client, Role::Server), (&server, Role::Client)] {
        for id in &side.ended {
            assert_eq!(side.received[id], content(*id, other, lens[id]), "stream {id} of {seed}");
        }
    }
    settle(&mut client, &mut server, &lens);
}

/// When everything is read, released and announced, each side may send what the other one bears.
fn settle(client: &mut Side, server: &mut Side, lens: &HashMap<u32, usize>) {
    let mut rng = Rng::new(1);
    for key in server.connection.streams.iter_from(0).map(|(key, _)| key).collect::<Vec<_>>() {
        server.connection.reset(key, ErrorCode::Cancel, Tick::ZERO);
        server.sending.remove(&key.id());
    }
    for key in client.connection.streams.iter_from(0).map(|(key, _)| key).collect::<Vec<_>>() {
        client.connection.forget(key, Tick::ZERO);
    }
    for _ in 0..1_000 {
        client.connection.take_output(&mut client.wire);
        server.connection.take_output(&mut server.wire);
        server.read(&mut client.wire, &mut rng, lens);
        client.read(&mut server.wire, &mut rng, lens);
    }
    assert!(client.wire.is_empty() && server.wire.is_empty());
    for key in server.connection.streams.iter_from(0).map(|(key, _)| key).collect::<Vec<_>>() {
        server.connection.forget(key, Tick::ZERO);
    }
    server.connection.take_output(&mut server.wire);
    while !server.wire.is_empty() {
        client.read(&mut server.wire, &mut rng, lens);
    }
    for (sender, receiver) in [(&client.connection, &server.connection), (&server.connection, &client.connection)] {
        let available = receiver.receive_window.available();
        assert_eq!(sender.send_window.room() as i64, i64::from(available), "both ends agree");
        assert!(
            i64::from(available) > i64::from(receiver.connection_window() / 2),
            "all but what is not announced yet"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_byte_arrives(seed: u64) {
        play(seed);
    }
}
