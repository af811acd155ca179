// SPDX-License-Identifier: Apache-2.0
//! A client on a plain socket: sends exactly the bytes that a test writes, and reads answers strictly.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::PATIENCE;
use super::message::Response;
use super::reader::{Reader, Trouble};

/// One connection.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    reader: Reader,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// Over TCP.
    pub fn to(address: SocketAddr) -> Client {
        Client::try_to(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
    }

    /// Over TCP, where refusals are expected.
    pub fn try_to(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        let client = Client { socket: Socket::Tcp(stream), reader: Reader::default() };
        client.patience(PATIENCE);
        Ok(client)
    }

    /// Over a Unix socket.
    pub fn to_unix(path: &Path) -> io::Result<Client> {
        let client = Client { socket: Socket::Unix(UnixStream::connect(path)?), reader: Reader::default() };
        client.patience(PATIENCE);
        Ok(client)
    }

    /// Waits so long for an answer.
    pub fn patience(&self, wait: Duration) {
        let set = match &self.socket {
            Socket::Tcp(stream) => stream.set_read_timeout(Some(wait)).and(stream.set_write_timeout(Some(wait))),
            Socket::Unix(stream) => stream.set_read_timeout(Some(wait)).and(stream.set_write_timeout(Some(wait))),
        };
        set.expect("a positive wait");
    }

    /// Sends bytes. What the other side closed is no failure: the answer will tell.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        let _ = self.socket.write_all(bytes.as_ref());
        self
    }

    /// Sends bytes and says whether they were taken.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// The answer to a request of that method.
    pub fn read(&mut self, method: &str) -> Result<Response, Trouble> {
        self.reader.answer(&mut self.socket, method)
    }

    /// The answer to a request that is not `HEAD`; it must come.
    pub fn answer(&mut self) -> Response {
        self.read("GET").unwrap_or_else(|trouble| panic!("no answer: {trouble}"))
    }

    /// The next head, interim or not; it must come.
    pub fn head(&mut self) -> Response {
        self.reader.answer_head(&mut self.socket).unwrap_or_else(|trouble| panic!("no head: {trouble}"))
    }

    /// The content behind such a head of an answer to `GET`; where it breaks off, the answer says so.
    pub fn content(&mut self, answer: &mut Response) {
        let read = self.reader.answer_body(&mut self.socket, "GET", answer);
        read.unwrap_or_else(|trouble| panic!("no content: {trouble}"));
    }

    /// Sends a whole request and reads the answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request.as_ref());
        let method = request.as_ref().split(|byte| *byte == b' ').next().unwrap_or(b"");
        let method = String::from_utf8_lossy(method).into_owned();
        self.read(&method).unwrap_or_else(|trouble| panic!("no answer: {trouble}"))
    }

    /// `GET` of a target with the host `test`.
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// Exactly so many bytes, behind what was read.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.reader.buffer.len() < count {
            let had = self.reader.fill(&mut self.socket).expect("more bytes");
            assert!(had > 0, "the connection ended behind {} of {count} bytes", self.reader.buffer.len());
        }
        self.reader.buffer.drain(..count).collect()
    }

    /// Everything up to the end of the connection, and whether it ended cleanly.
    pub fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let end = loop {
            match self.reader.fill(&mut self.socket) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        (std::mem::take(&mut self.reader.buffer), end)
    }

    /// Is the connection closed by the other side within `wait`? What is still read of answers is dropped.
    pub fn ends_within(&mut self, wait: Duration) -> bool {
        self.patience(wait);
        let (_, end) = self.rest();
        let closed =
            !matches!(&end, Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        self.patience(PATIENCE);
        closed
    }

    /// Closes the sending side.
    pub fn finish(&mut self) {
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Our own address.
    pub fn local(&self) -> SocketAddr {
        match &self.socket {
            Socket::Tcp(stream) => stream.local_addr().expect("a connected socket has an address"),
            Socket::Unix(_) => panic!("a Unix socket has no such address"),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
