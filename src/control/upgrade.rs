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
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::control::admin::StopMode;
use crate::net::machine;
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

    /// The command that starts it with these sockets instead of this process. What the service manager told this
    /// process by its number is handed on: the watchdog's interval holds for the new process too.
    pub(crate) fn command(&self, sockets: &HandOver) -> Command {
        let mut command = Command::new(&self.path);
        let (variable, value) = sockets.variable();
        command.args(&self.arguments).env(variable, value);
        for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(variable);
        }
        if std::env::var("WATCHDOG_PID").is_ok_and(|pid| pid == std::process::id().to_string()) {
            command.env_remove("WATCHDOG_PID");
        }
        command
    }
}

fn found_in_path(name: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file() && path.is_absolute())
}

/// The successor process of a binary upgrade, watched by a task until it serves.
#[derive(Debug)]
pub(crate) struct Successor {
    pid: u32,
    stops: mpsc::UnboundedSender<StopMode>,
}

/// Whether a successor serves, or will never.
#[derive(Debug)]
pub(crate) struct SuccessorOutcome(oneshot::Receiver<Result<u32, String>>);

impl SuccessorOutcome {
    /// Waits until the successor serves or has failed. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> Result<u32, String> {
        (&mut self.0).await.unwrap_or_else(|_| Err("nobody watches the new process".to_owned()))
    }
}

impl Successor {
    /// Starts the program with these sockets.
    pub(crate) fn start<'a>(
        program: &Program,
        sockets: impl IntoIterator<Item = &'a ListenSocket>,
    ) -> io::Result<(Successor, SuccessorOutcome)> {
        let hand_over = HandOver::of(sockets)?;
        let (name, word) = (random_text()?, random_text()?);
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        let ready = tokio::net::UnixListener::from_std(listener)?;
        let child = program.command(&hand_over).env(READY, format!("{name}:{word}")).spawn();
        let child =
            child.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.path.display())))?;
        let pid = child.id();
        let (sender, outcome) = oneshot::channel();
        let (stops, stopped) = mpsc::unbounded_channel();
        spawn_local(async move {
            let _ = sender.send(watch(child, ready, &word, stopped).await);
        });
        Ok((Successor { pid, stops }, SuccessorOutcome(outcome)))
    }

    /// The successor's number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Makes the successor stop, as this process does. It may be serving already without this process knowing.
    pub(crate) fn stop(&self, mode: StopMode) {
        // Nobody watches it any more only where it has ended.
        let _ = self.stops.send(mode);
    }
}

async fn watch(
    mut child: Child,
    ready: tokio::net::UnixListener,
    word: &str,
    mut stops: mpsc::UnboundedReceiver<StopMode>,
) -> Result<u32, String> {
    let until = Instant::now() + READY_WAIT;
    loop {
        tokio::select! {
            Some(mode) = stops.recv() => {
                // It has not been waited for, so its number is no other process'.
                let _ = machine::send_signal(child.id(), mode.signal());
                return Err("it was told to stop together with this process".to_owned());
            }
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
pub(crate) fn random_text() -> io::Result<String> {
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
            let (_successor, mut outcome) = Successor::start(&shell("exit 3"), []).expect("started");
            let reason = outcome.wait().await.expect_err("ended");
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
            let (successor, mut outcome) = Successor::start(&shell(&script), [&socket]).expect("started");
            while !path.exists() {
                assert!(timeout(LOOK, outcome.wait()).await.is_err());
            }
            let variables = std::fs::read_to_string(&path).expect("read");
            let (ready, sockets) = variables.split_once(' ').expect("both");
            assert!(sockets.trim_end().ends_with(&format!("={}", socket.address)), "{sockets}");
            let predecessor = Predecessor::parse(ready).expect("parsed");
            Predecessor { word: "guess".into(), name: predecessor.name.clone() }.serves().expect("connected");
            predecessor.serves().expect("connected");
            assert_eq!(outcome.wait().await, Ok(successor.pid()));
            let ended = Command::new("kill").arg(successor.pid().to_string()).status().expect("kill");
            assert!(ended.success());
        });
    }

    #[test]
    fn a_successor_stops_with_its_predecessor() {
        run(async {
            for (mode, status) in [(StopMode::Drain, "15"), (StopMode::Now, "2")] {
                let (successor, mut outcome) = Successor::start(&shell("exec sleep 30"), []).expect("started");
                successor.stop(mode);
                assert!(outcome.wait().await.is_err_and(|reason| reason.contains("told to stop")));
                let state = || std::fs::read_to_string(format!("/proc/{}/stat", successor.pid())).unwrap_or_default();
                while !state().contains(") Z ") {
                    sleep(LOOK).await;
                }
                // The last number is how the process ended, as wait(2) says it.
                assert!(state().trim_end().ends_with(status), "{}", state());
            }
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
