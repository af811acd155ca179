//! Idle connections: opens many, makes one request on each, and holds them.
//!
//! One after another and blocking: nothing here is timed.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::failure::{Context, Failure};
use crate::machine::check_interrupt;
use crate::message::{Progress, Reader, Role};
use crate::socket::dial;

/// Connections that each had one answer and are kept open.
#[derive(Debug)]
pub struct Held {
    sockets: Vec<TcpStream>,
}

impl Held {
    /// Opens `count` connections to `target` and waits for the answer to `request` on each.
    pub fn open(target: SocketAddr, request: &[u8], count: usize) -> Result<Held, Failure> {
        let mut sockets = Vec::with_capacity(count);
        for at in 0..count {
            check_interrupt()?;
            let socket = dial(target).context(format_args!("opening connection {at}"))?;
            exchange(&socket, request).context(format_args!("the request on connection {at}"))?;
            sockets.push(socket);
        }
        Ok(Held { sockets })
    }

    /// How many of the connections the other side has closed by now.
    pub fn closed(&self) -> usize {
        self.sockets.iter().filter(|socket| is_closed(socket)).count()
    }
}

fn exchange(mut socket: &TcpStream, request: &[u8]) -> Result<(), Failure> {
    socket.set_read_timeout(Some(ANSWER_TIME_MAX)).context("setting a timeout")?;
    socket.write_all(request).context("sending")?;
    let mut reader = Reader::new(Role::Response);
    let mut buffer = [0; 4096];
    loop {
        let count = socket.read(&mut buffer).context("receiving")?;
        if count == 0 {
            return Err(Failure::new("closed without an answer"));
        }
        if let Progress::Done(_) = reader.feed(buffer.get(..count).unwrap_or_default(), &mut |_| {})? {
            break;
        }
    }
    match reader.head().status {
        200..300 => Ok(()),
        status => Err(Failure(format!("status {status}"))),
    }
}

fn is_closed(socket: &TcpStream) -> bool {
    if socket.set_nonblocking(true).is_err() {
        return true;
    }
    let seen = socket.peek(&mut [0]);
    !matches!(seen, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// A proxy that needs longer for one small answer is stuck.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
