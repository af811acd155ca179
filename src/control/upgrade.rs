// SPDX-License-Identifier: Apache-2.0
//! Binary upgrade (zero downtime): the new process inherits all listening sockets and reports when its shards serve;
//! only then does this one stop accepting.
//!
//! The new process says so on an abstract Unix socket, with a word that only its environment holds. Where it ends, or
//! says nothing in time, nothing here has changed.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::net::sockets::{HandOver, ListenSocket};

/// Longest wait until a successor serves; above it it is ended.
const READY_WAIT: Duration = Duration::from_secs(120);
/// How often a successor is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for the message of a process that connected.
const WORD_WAIT: Duration = Duration::from_secs(2);
/// Where a successor reports that it serves: `name:word`.
const READY: &str = "TURNPIKE_READY";

/// How this process was started, for starting the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The file, as it was called: a link that leads to a newer version leads there then.
    pub path: PathBuf,
    /// The arguments behind it.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// This process. To be called early: relative paths are made absolute here.
    pub(crate) fn of_process() -> io::Result<Program> {
        let mut arguments = std::env::args_os();
        let called = PathBuf::from(arguments.next().unwrap_or_default());
        let path = if called.components().count() > 1 {
            std::path::absolute(&called)?
        } else {
            found_in_path(&called).map_or_else(std::env::current_exe, Ok)?
        };
        Ok(Program { path, arguments: arguments.collect() })
    }
}

fn found_in_path(name: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file() && path.is_absolute())
}

/// The successor process of a binary upgrade, watched by a task.
#[derive(Debug)]
pub(crate) struct Successor {
    pid: u32,
    outcome: oneshot::Receiver<Result<u32, String>>,
}

impl Successor {
    /// Starts the program with these sockets.
    pub(crate) fn start<'a>(
        program: &Program,
        sockets: impl IntoIterator<Item = &'a ListenSocket>,
    ) -> io::Result<Successor> {
        let hand_over = HandOver::of(sockets)?;
        let (name, word) = (random_text()?, random_text()?);
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        let ready = tokio::net::UnixListener::from_std(listener)?;
        let (variable, value) = hand_over.variable();
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).env(variable, value).env(READY, format!("{name}:{word}"));
        let child = command.spawn();
        let child =
            child.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.path.display())))?;
        let pid = child.id();
        let (sender, outcome) = oneshot::channel();
        spawn_local(async move {
            let _ = sender.send(watch(child, ready, &word).await);
        });
        Ok(Successor { pid, outcome })
    }

    /// The successor's number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the successor serves or has failed. Cancel-safe.
    pub(crate) async fn outcome(&mut self) -> Result<u32, String> {
        (&mut self.outcome).await.unwrap_or_else(|_| Err("the new process is not watched any more".to_owned()))
    }
}

async fn watch(mut child: Child, ready: tokio::net::UnixListener, word: &str) -> Result<u32, String> {
    let until = Instant::now() + READY_WAIT;
    loop {
        tokio::select! {
            accepted = ready.accept() => {
                if let Ok((stream, _)) = accepted
                    && said(stream, word).await
                {
                    return Ok(child.id());
                }
            }
            () = sleep(LOOK) => {}
        }
        match child.try_wait() {
            Ok(Some(status)) => return Err(format!("the new process ended before it served: {status}")),
            Ok(None) => {}
            Err(error) => return Err(format!("the new process cannot be watched: {error}")),
        }
        if Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("the new process did not serve within {} seconds", READY_WAIT.as_secs()));
        }
    }
}

async fn said(stream: tokio::net::UnixStream, word: &str) -> bool {
    let mut received = Vec::new();
    let read = timeout(WORD_WAIT, stream.take(64).read_to_end(&mut received)).await;
    matches!(read, Ok(Ok(_))) && received == word.as_bytes()
}

/// The process that this one takes over from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Predecessor {
    name: String,
    word: String,
}

impl Predecessor {
    /// As the environment names it: `None` in a process that was started in the usual way.
    pub(crate) fn of_process() -> Option<Predecessor> {
        Predecessor::parse(&std::env::var(READY).ok()?)
    }

    fn parse(value: &str) -> Option<Predecessor> {
        let (name, word) = value.split_once(':').filter(|(name, word)| !name.is_empty() && !word.is_empty())?;
        Some(Predecessor { name: name.to_owned(), word: word.to_owned() })
    }

    /// Says that this process serves.
    pub(crate) fn serves(&self) -> io::Result<()> {
        let mut stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(&self.name)?)?;
        stream.write_all(self.word.as_bytes())
    }
}

/// 128 random bits as text.
fn random_text() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;
    use crate::net::sockets::{ListenOptions, listen};

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let bounded = async { timeout(Duration::from_secs(30), test).await.expect("in time") };
        tokio::task::LocalSet::new().block_on(&runtime, bounded);
    }

    fn shell(script: &str) -> Program {
        Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
    }

    #[test]
    fn a_program_that_ends_is_no_successor() {
        run(async {
            let mut successor = Successor::start(&shell("exit 3"), []).expect("started");
            let reason = successor.outcome().await.expect_err("ended");
            assert!(reason.contains("exit status: 3"), "{reason}");
            let missing = Program { path: "/nonexistent/turnpike".into(), arguments: Vec::new() };
            assert!(Successor::start(&missing, []).is_err_and(|error| error.to_string().contains("/nonexistent")));
        });
    }

    #[test]
    fn the_word_in_the_environment_opens() {
        run(async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("variable");
            let address = Address::Inet("127.0.0.1:0".parse().expect("an address"));
            let socket = listen(&address, &ListenOptions::default()).expect("listens");
            let script = format!(
                "echo \"$TURNPIKE_READY $TURNPIKE_SOCKETS\" > {0}.new && mv {0}.new {0} && exec sleep 30",
                path.display()
            );
            let mut successor = Successor::start(&shell(&script), [&socket]).expect("started");
            while !path.exists() {
                assert!(timeout(LOOK, successor.outcome()).await.is_err());
            }
            let variables = std::fs::read_to_string(&path).expect("read");
            let (ready, sockets) = variables.split_once(' ').expect("both");
            assert!(sockets.trim_end().ends_with(&format!("={}", socket.address)), "{sockets}");
            let predecessor = Predecessor::parse(ready).expect("parsed");
            Predecessor { word: "guess".into(), name: predecessor.name.clone() }.serves().expect("connected");
            predecessor.serves().expect("connected");
            assert_eq!(successor.outcome().await, Ok(successor.pid()));
            let ended = Command::new("kill").arg(successor.pid().to_string()).status().expect("kill");
            assert!(ended.success());
        });
    }

    #[test]
    fn a_wrong_variable_is_no_predecessor() {
        for wrong in ["", "a", ":", "a:", ":b"] {
            assert_eq!(Predecessor::parse(wrong), None);
        }
    }

    #[test]
    fn this_program_is_found() {
        let program = Program::of_process().expect("found");
        assert!(program.path.is_absolute() && program.path.exists());
    }
}
