// SPDX-License-Identifier: Apache-2.0
//! The gateway as a process: started with a configuration in a folder of its own, asked over its control socket,
//! stopped by its number. Where a test fails, what the process said is shown.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::message::Response;
use super::{Client, PATIENCE, wait_for};

/// The listener that most tests use: plain HTTP on a port that the kernel chooses.
pub const WEB: &str = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n";

/// The binary under test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TURNPIKE_BINARY") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a test has a path");
    // target/PROFILE/deps/processes-HASH
    let path = own.ancestors().nth(2).expect("a test lies in target").join("turnpike");
    assert!(path.exists(), "{} is not there: `cargo build` makes it", path.display());
    path
}

/// How a gateway is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Data-plane threads.
    pub shards: usize,
    /// More lines of `[server]`.
    pub server: String,
    /// The format of the access log; empty for none.
    pub log: String,
    /// Everything else. `{dir}` stands for the gateway's folder.
    pub text: String,
    /// Files in that folder, by name.
    pub files: Vec<(String, Vec<u8>)>,
    /// Environment variables.
    pub variables: Vec<(String, String)>,
    /// A program that starts the gateway, with its arguments: the gateway's command line follows them. `{dir}` stands
    /// for the gateway's folder.
    pub starter: Vec<String>,
    /// Where standard error goes instead of into a file.
    pub stderr: Option<Arc<File>>,
}

impl Setup {
    /// One thread, a JSON log, and this configuration.
    pub fn new(text: impl Into<String>) -> Setup {
        let (server, log) = (String::new(), "json".to_owned());
        let (files, variables, starter) = (Vec::new(), Vec::new(), Vec::new());
        Setup { shards: 1, server, log, text: text.into(), files, variables, starter, stderr: None }
    }

    /// One listener, `web`, and this.
    pub fn web(text: impl AsRef<str>) -> Setup {
        Setup::new(format!("{WEB}\n{}", text.as_ref()))
    }

    /// With so many threads.
    pub fn shards(mut self, count: usize) -> Setup {
        self.shards = count;
        self
    }

    /// With one more line in `[server]`.
    pub fn server(mut self, line: &str) -> Setup {
        self.server.push_str(line);
        self.server.push('\n');
        self
    }

    /// With this format of the access log.
    pub fn log(mut self, format: &str) -> Setup {
        format.clone_into(&mut self.log);
        self
    }

    /// With a file in the gateway's folder.
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Setup {
        self.files.push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// With an environment variable.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Setup {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Started by this program.
    pub fn starter(mut self, line: &[&str]) -> Setup {
        self.starter = line.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Started by a shell, in which `$@` is the gateway's command line.
    pub fn shell(self, script: &str) -> Setup {
        self.starter(&["sh", "-c", script, "sh"])
    }

    /// With this as standard error.
    pub fn stderr(mut self, file: File) -> Setup {
        self.stderr = Some(Arc::new(file));
        self
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Gateway {
        let gateway = self.start_unready();
        gateway.wait_ready();
        gateway
    }

    /// Starts it without waiting.
    pub fn start_unready(self) -> Gateway {
        let folder = tempfile::Builder::new().prefix("turnpike-test").tempdir().expect("a folder");
        for (name, content) in &self.files {
            fs::write(folder.path().join(name), content).expect("a file in our folder");
        }
        let mut gateway = Gateway { folder, child: None, setup: self, successors: Vec::new() };
        gateway.write();
        gateway.spawn();
        gateway
    }

    fn config(&self, folder: &Path) -> String {
        let folder = folder.display();
        let log = match &*self.log {
            "" => String::new(),
            format => format!("[log.access]\npath = \"{folder}/access.log\"\nformat = {format:?}\n"),
        };
        let text = self.text.replace("{dir}", &folder.to_string());
        format!(
            "[server]\nshards = {}\npin = false\ncontrol_socket = \"{folder}/control.sock\"\n{}\n\
             [admin]\nbind = \"127.0.0.1:0\"\n\n{log}\n{text}",
            self.shards, self.server
        )
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    folder: TempDir,
    child: Option<Child>,
    setup: Setup,
    successors: Vec<u32>,
}

impl Gateway {
    /// One listener, `web`, and this configuration.
    pub fn web(text: impl AsRef<str>) -> Gateway {
        Setup::web(text).start()
    }

    /// One listener that sends everything to this address.
    pub fn before(origin: SocketAddr) -> Gateway {
        Gateway::web(format!("[[route]]\nname = \"all\"\nto = \"http://{origin}\"\n"))
    }

    fn write(&self) {
        fs::write(self.config_path(), self.setup.config(self.folder.path())).expect("a file in our folder");
    }

    fn spawn(&mut self) {
        let said = |name: &str| File::create(self.path(name)).expect("a file in our folder");
        let folder = self.folder.path().display().to_string();
        let starter = self.setup.starter.iter().map(|word| word.replace("{dir}", &folder).into());
        let mut line: Vec<OsString> = starter.collect();
        line.extend([binary().into(), "run".into(), "-c".into(), self.config_path().into()]);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).current_dir(self.folder.path());
        let given = self.setup.stderr.as_ref().map(|file| file.try_clone().expect("a descriptor"));
        let stderr = given.unwrap_or_else(|| said("stderr"));
        command.envs(self.setup.variables.iter().cloned()).stdout(said("stdout")).stderr(stderr);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary().display())));
    }

    /// Waits until it serves.
    pub fn wait_ready(&self) {
        wait_for("the gateway to serve", || (self.admin_get("/readyz")?.status == 200).then_some(()));
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.path("turnpike.toml")
    }

    /// Replaces everything but `[server]`, `[admin]` and the log in the configuration file. Nothing is told to the
    /// process.
    pub fn rewrite(&mut self, text: impl Into<String>) {
        self.setup.text = text.into();
        self.write();
    }

    /// The number of the process that was started first.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Counts a process that took over from this one as part of it.
    pub fn adopt(&mut self, pid: u32) {
        self.successors.push(pid);
    }

    /// Ends the process as a crash does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait(SOON);
    }

    /// Waits for the process to end.
    pub fn wait(&mut self, longest: Duration) -> ExitStatus {
        let until = Instant::now() + longest;
        let child = self.child.as_mut().expect("it was started");
        loop {
            if let Some(status) = child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < until, "the gateway did not end within {longest:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again after its end, in the same folder, and waits until it serves.
    pub fn start_again(&mut self) {
        assert!(!self.runs(), "it runs still");
        self.spawn();
        self.wait_ready();
    }

    /// Does the process that was started first still run?
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// An answer of the control socket; `None` where nobody listens there.
    pub fn admin_get(&self, target: &str) -> Option<Response> {
        self.admin("GET", target)
    }

    /// As `admin_get`, with another method.
    pub fn admin(&self, method: &str, target: &str) -> Option<Response> {
        let mut client = Client::to_unix(&self.path("control.sock")).ok()?;
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"));
        client.read(method).ok()
    }

    /// Reloads, and gives the status and the words of what came of it.
    pub fn reload(&self) -> (u16, String) {
        let answer = self.admin("POST", "/reload").expect("the control socket answers");
        (answer.status, answer.text())
    }

    /// The status document.
    pub fn status(&self) -> Value {
        self.admin_get("/status").expect("the control socket answers").json()
    }

    /// The first address of a listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        let status = self.status();
        let listeners = status["listeners"].as_array().expect("a list").iter();
        let found = listeners.filter(|one| one["name"] == listener).find_map(|one| one["addresses"][0].as_str());
        let found = found.unwrap_or_else(|| panic!("no listener {listener}: {status}"));
        found.parse().unwrap_or_else(|_| panic!("no address: {found}"))
    }

    /// Where the listener `web` is.
    pub fn here(&self) -> SocketAddr {
        self.address("web")
    }

    /// `http://ADDRESS` of the listener `web`, with this behind it.
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.here())
    }

    /// A connection to the listener `web`.
    pub fn client(&self) -> Client {
        Client::to(self.here())
    }

    /// Asks with `GET` on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.client().get(target)
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        self.admin_get("/metrics").expect("the control socket answers").text()
    }

    /// What the process said.
    pub fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        read("stdout") + &read("stderr")
    }

    /// The lines of the access log so far.
    pub fn log_lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// The entries of a JSON log, once there are so many.
    pub fn log(&self, count: usize) -> Vec<Value> {
        let lines = wait_for("the access log", || Some(self.log_lines()).filter(|lines| lines.len() >= count));
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        lines.iter().map(parse).collect()
    }

    /// The machine-readable reason in the last of so many entries of the log.
    pub fn reason(&self, count: usize) -> String {
        let entries = self.log(count);
        entries[count - 1]["reason"].as_str().unwrap_or("").to_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for pid in &self.successors {
            signal(*pid, "KILL");
        }
        if let Some(mut child) = self.child.take() {
            let ended = child.try_wait();
            let _ = child.kill();
            let _ = child.wait();
            if thread::panicking() {
                eprintln!("--- the gateway ({ended:?}) said:\n{}", self.said());
                let lines = self.log_lines();
                let from = lines.len().saturating_sub(6);
                eprintln!("--- the end of its access log:\n{}", lines[from..].join("\n"));
            }
        }
    }
}

/// Sends a signal to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).output();
}

/// Longest that a stop may take that is meant to be quick.
pub const SOON: Duration = Duration::from_secs(PATIENCE.as_secs());
