// SPDX-License-Identifier: Apache-2.0
//! An origin on plain sockets that does whatever a test says, and remembers every byte that it received.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;

use super::PATIENCE;
use super::message::Request;
use super::reader::{Reader, Trouble};

/// What an origin remembers.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whole requests, in the order of their ends.
    pub requests: Mutex<Vec<Request>>,
    /// All bytes of each connection.
    pub streams: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    /// What was not HTTP, or ended early.
    pub troubles: Mutex<Vec<Trouble>>,
    /// Connections that are open now.
    pub open: AtomicUsize,
}

/// An origin; it stops to accept when dropped.
#[derive(Debug)]
pub struct Origin {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    stopped: Arc<AtomicBool>,
}

impl Origin {
    /// An origin that treats each connection as told.
    pub fn with(treat: impl Fn(&mut Peer) -> Result<(), Trouble> + Send + Sync + 'static) -> Origin {
        Origin::at("127.0.0.1:0".parse().expect("an address"), treat)
    }

    /// As `with`, at an address of choice.
    pub fn at(address: SocketAddr, treat: impl Fn(&mut Peer) -> Result<(), Trouble> + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind(address).expect("a free address");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (seen, stopped) = (Arc::<Seen>::default(), Arc::<AtomicBool>::default());
        let origin = Origin { address, seen: seen.clone(), stopped: stopped.clone() };
        let treat = Arc::new(treat);
        let name = origin.thread_name();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let _ = stream.set_nodelay(true);
                Peer::start(&name, Line::Tcp(stream), &seen, treat.clone());
            }
        });
        origin
    }

    /// An origin on a Unix socket, which lives as long as the test.
    pub fn on_unix(path: &Path, treat: impl Fn(&mut Peer) -> Result<(), Trouble> + Send + Sync + 'static) -> Arc<Seen> {
        let listener = UnixListener::bind(path).expect("a free path");
        let seen = Arc::<Seen>::default();
        let remembered = seen.clone();
        let treat = Arc::new(treat);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                Peer::start("origin", Line::Unix(stream), &remembered, treat.clone());
            }
        });
        seen
    }

    /// An origin that answers every request, one after another on each connection.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Origin {
        Origin::with(move |peer| {
            loop {
                let request = peer.request()?;
                peer.send(answer(&request));
            }
        })
    }

    /// An origin that answers a request for `/held` only once a message comes through the channel, or the channel is
    /// dropped, and every other request at once.
    pub fn holding() -> (Origin, Sender<()>) {
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let origin = Origin::answering(move |request| {
            if request.target == "/held" {
                // The test may be over before.
                let _ = released.lock().expect("a lock").recv_timeout(PATIENCE);
            }
            ok("done")
        });
        (origin, release)
    }

    /// An origin that takes a request and says nothing until its connection ends.
    pub fn silent() -> Origin {
        Origin::with(|peer| {
            peer.request()?;
            peer.read_to_end();
            Ok(())
        })
    }

    /// An origin that answers with three events. Each is sent only when the one before it was seen, which whoever sees
    /// it says through the channel: a gateway that gathers would wait for ever.
    pub fn events() -> (Origin, Sender<()>) {
        let (seen, sees) = channel::<()>();
        let sees = Mutex::new(sees);
        let origin = Origin::with(move |peer| {
            peer.request()?;
            peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
            for number in 0..3 {
                peer.send(format!("9\r\ndata: {number}\n\n\r\n"));
                let seen = sees.lock().expect("a lock").recv_timeout(PATIENCE);
                assert!(seen.is_ok(), "event {number} did not arrive");
            }
            peer.send("0\r\n\r\n");
            Ok(())
        });
        (origin, seen)
    }

    /// An origin that answers 200 with the request's content.
    pub fn echo() -> Origin {
        Origin::answering(|request| ok(&request.body))
    }

    /// An origin that answers 200 with this text.
    pub fn saying(text: &'static str) -> Origin {
        Origin::answering(move |_| ok(text))
    }

    /// An origin that answers every connection's first request with these bytes, and closes.
    pub fn once(bytes: impl Into<Vec<u8>>) -> Origin {
        let bytes = bytes.into();
        Origin::with(move |peer| {
            peer.request()?;
            peer.send(&bytes);
            Ok(())
        })
    }

    /// What the threads are called that serve its connections (`harness::wait_still`).
    pub fn thread_name(&self) -> String {
        format!("origin {}", self.address.port())
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().expect("no test thread panics with it").clone()
    }

    /// The last request.
    pub fn last(&self) -> Request {
        self.requests().pop().expect("a request came")
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.seen.requests.lock().expect("no test thread panics with it").len()
    }

    /// Everything that was not as it should be.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.seen.troubles.lock().expect("no test thread panics with it").clone()
    }

    /// `http://ADDRESS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// 200 with a length and this content.
pub fn ok(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content].concat()
}

/// One connection of an origin.
#[derive(Debug)]
pub struct Peer {
    line: Line,
    reader: Reader,
    seen: Arc<Seen>,
    stream: Arc<Mutex<Vec<u8>>>,
}

#[derive(Debug)]
enum Line {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Peer {
    fn start<F>(name: &str, line: Line, seen: &Arc<Seen>, treat: Arc<F>)
    where
        F: Fn(&mut Peer) -> Result<(), Trouble> + Send + Sync + 'static,
    {
        let stream = Arc::<Mutex<Vec<u8>>>::default();
        seen.streams.lock().expect("no test thread panics with it").push(stream.clone());
        let mut peer = Peer { line, reader: Reader::default(), seen: seen.clone(), stream };
        peer.patience(Duration::from_secs(60));
        let seen = seen.clone();
        seen.open.fetch_add(1, Ordering::SeqCst);
        let work = move || {
            match treat(&mut peer) {
                Ok(()) | Err(Trouble::Closed) => {}
                Err(trouble) => seen.troubles.lock().expect("no test thread panics with it").push(trouble),
            }
            // What counts as closed is closed.
            drop(peer);
            seen.open.fetch_sub(1, Ordering::SeqCst);
        };
        thread::Builder::new().name(name.to_owned()).spawn(work).expect("a thread");
    }

    /// Waits so long for what comes.
    pub fn patience(&self, wait: Duration) {
        let set = match &self.line {
            Line::Tcp(stream) => stream.set_read_timeout(Some(wait)),
            Line::Unix(stream) => stream.set_read_timeout(Some(wait)),
        };
        set.expect("a positive wait");
    }

    /// The next request with its body.
    pub fn request(&mut self) -> Result<Request, Trouble> {
        let mut request = self.head()?;
        self.body(&mut request)?;
        Ok(request)
    }

    /// The next request's head alone.
    pub fn head(&mut self) -> Result<Request, Trouble> {
        let Peer { line, reader, stream, .. } = self;
        reader.request_head(&mut Recorded { line, stream })
    }

    /// The body of that request.
    pub fn body(&mut self, request: &mut Request) -> Result<(), Trouble> {
        let Peer { line, reader, stream, .. } = self;
        reader.request_body(&mut Recorded { line, stream }, request)?;
        self.seen.requests.lock().expect("no test thread panics with it").push(request.clone());
        Ok(())
    }

    /// Reads once; zero is the end.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.reader.buffer.is_empty() {
            let Peer { line, reader, stream, .. } = self;
            reader.fill(&mut Recorded { line, stream })?;
        }
        Ok(std::mem::take(&mut self.reader.buffer))
    }

    /// Reads everything up to the end.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(piece) = self.read_some()
            && !piece.is_empty()
        {
            all.extend(piece);
        }
        all
    }

    /// Sends bytes. Where the other side is gone, the test will see it elsewhere.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = match &mut self.line {
            Line::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Line::Unix(stream) => stream.write_all(bytes.as_ref()),
        };
    }

    /// Closes the sending side.
    pub fn finish(&mut self) {
        let _ = match &self.line {
            Line::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Line::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Makes the end of the connection a reset.
    pub fn reset(&mut self) {
        if let Line::Tcp(stream) = &self.line {
            sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("a TCP socket lingers");
        }
    }

    /// Waits, then goes on.
    pub fn pause(&self, millis: u64) {
        thread::sleep(Duration::from_millis(millis));
    }
}

/// A stream whose bytes are remembered.
struct Recorded<'a> {
    line: &'a mut Line,
    stream: &'a Mutex<Vec<u8>>,
}

impl Read for Recorded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.line {
            Line::Tcp(stream) => stream.read(buffer),
            Line::Unix(stream) => stream.read(buffer),
        }?;
        self.stream.lock().expect("no test thread panics with it").extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// Waits for an origin's connections to end.
pub fn wait_idle(seen: &Seen) -> bool {
    let until = std::time::Instant::now() + PATIENCE;
    while seen.open.load(Ordering::SeqCst) > 0 {
        if std::time::Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}
