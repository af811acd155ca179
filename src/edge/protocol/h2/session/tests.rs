// SPDX-License-Identifier: Apache-2.0
//! The bound of content that clients sent and nobody reads, over all connections of a thread.

use std::time::Duration;

use super::*;
use crate::edge::protocol::h2::reader::{Check, Role};
use crate::net::Listener;
use crate::net::sim::{Settings, Sim, SimStream, Simulation};
use crate::wire::h2::connection::{Config, ConnectionError, Event};
use crate::wire::h2::message::Content;

/// In the place of half a gigabyte.
const UNREAD_MAX: usize = 40_000;

/// `POST /` in the static table's words (RFC 7541).
const POST: &[u8] = b"\x83\x86\x84\x01\x01h";

/// Serves nothing: what comes stays unread until the test reads it.
#[derive(Default)]
struct Unserved {
    keys: RefCell<Vec<Key>>,
    overflows: Cell<usize>,
}

impl Role<Sim> for Rc<Unserved> {
    fn on_head(&self, session: &Rc<Session<Sim>>, key: Key, _: Content) {
        session.open_stream(key);
        self.keys.borrow_mut().push(key);
    }

    fn on_interim(&self, _: &Rc<Session<Sim>>, _: Key) {}

    fn on_event(&self, _: &Rc<Session<Sim>>, _: &Event) {}

    fn on_overflow(&self) {
        self.overflows.set(self.overflows.get() + 1);
    }

    fn on_error(&self, _: &Session<Sim>, error: ConnectionError) {
        panic!("{error:?}");
    }

    fn next_check(&self, _: &Session<Sim>, _: Tick) -> Tick {
        Tick::NEVER
    }

    fn check(&self, _: &Session<Sim>, _: Tick) -> Check {
        Check::GoOn
    }
}

/// A client's connection, both ends.
struct Line {
    stream: SimStream,
    client: Connection,
    session: Rc<Session<Sim>>,
    role: Rc<Unserved>,
}

impl Line {
    /// Opens a stream and sends so much content, which our side has then taken in or refused.
    async fn upload(&mut self, sim: &Sim, count: usize) -> Key {
        let key = self.client.open(Ending::More, |out, _| out.extend_from_slice(POST)).unwrap();
        assert_eq!(self.client.send_data(key, &vec![b'x'; count], Ending::More, sim.now()), Ok(count));
        let mut frames = Vec::new();
        self.client.take_output(&mut frames);
        let until = sim.now().after(Duration::from_secs(5));
        self.stream.write(Buf::copied(&frames), until).await.0.unwrap();
        sim.sleep_until(until).await;
        *self.role.keys.borrow().last().unwrap()
    }

    fn state_of(&self, key: Key) -> ReceiveState {
        self.session.with(key, |stream| stream.come).unwrap()
    }
}

#[test]
fn unread_content_of_all_connections_has_one_bound() {
    let simulation = Simulation::new(Settings::new(1));
    let (server, client) = (simulation.host("server", [10, 0, 0, 1]), simulation.host("client", [10, 0, 0, 2]));
    let address = server.address(80);
    let main = async move {
        let thread = Rc::new(Thread::new(server.clone()));
        let listener = server.listen(&address);
        let mut lines = Vec::new();
        for _ in 0..2 {
            let stream = client.connect(&address, client.now().after(Duration::from_secs(5))).await.unwrap();
            let accepted = Rc::new(Transport::Plain(listener.accept().await.unwrap()));
            let machine = Connection::server(Rc::new(Config::default()), server.now());
            let session = Session::start(&thread, accepted, machine, Pace::NONE, Some(UNREAD_MAX));
            let role = Rc::new(Unserved::default());
            let (reading, serving) = (session.clone(), role.clone());
            server.spawn(async move { reading.read_all(&serving, Buf::empty()).await });
            let client = Connection::client(Rc::new(Config::default()), client.now());
            lines.push(Line { stream, client, session, role });
        }
        let [first, second] = &mut lines[..] else { panic!("two lines") };

        let held = first.upload(&client, 30_000).await;
        assert_eq!((thread.unread.get(), first.state_of(held)), (30_000, ReceiveState::Open));
        // One connection's content counts against the other's.
        let refused = second.upload(&client, 20_000).await;
        assert_eq!(second.state_of(refused), ReceiveState::Reset(ErrorCode::EnhanceYourCalm));
        assert_eq!((first.role.overflows.get(), second.role.overflows.get()), (0, 1));
        assert!(thread.unread.get() <= UNREAD_MAX, "{}", thread.unread.get());
        second.session.close_stream(refused);
        assert_eq!(thread.unread.get(), 30_000);

        // What is read makes room, and who was held goes on as if nothing had happened.
        let mut buf = Buf::with_capacity(30_000);
        let mut seen = 0;
        while seen < 30_000 {
            buf.reset(0);
            let count = first.session.read_now(held, &mut buf);
            assert!(count > 0, "{seen} of 30 000");
            seen += count;
        }
        assert_eq!((thread.unread.get(), first.state_of(held)), (0, ReceiveState::Open));
        let granted = second.upload(&client, 40_000).await;
        assert_eq!((thread.unread.get(), second.state_of(granted)), (40_000, ReceiveState::Open));
        assert_eq!(second.role.overflows.get(), 1);

        // A connection that ends leaves nothing counted.
        first.session.close_stream(held);
        second.session.close_stream(granted);
        assert_eq!(thread.unread.get(), 0);
        for line in lines {
            drop(line.stream);
            line.session.done.wait().await;
        }
    };
    simulation.run(main).unwrap();
    simulation.check_nothing_left().unwrap();
}
