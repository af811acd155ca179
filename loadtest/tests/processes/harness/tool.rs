// SPDX-License-Identifier: Apache-2.0
//! Programs of others: curl, openssl, nginx, Python.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use loadtest::socket::Reserved;
use tempfile::TempDir;

use super::{Client, PATIENCE, wait_for};

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Everything that it said.
    pub fn all(&self) -> String {
        self.text() + &self.stderr
    }
}

/// Runs a program to its end.
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> Output {
    run_with(program, arguments, b"")
}

/// As `run`, with this on standard input.
pub fn run_with<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S], input: &[u8]) -> Output {
    let name = program.as_ref().to_owned();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let out = thread::spawn(move || all_of(stdout));
    let err = thread::spawn(move || all_of(stderr));
    let until = Instant::now() + 2 * PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("{name:?} did not end in time");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let _ = writer.join();
    let (stdout, stderr) = (out.join().expect("a reader"), err.join().expect("a reader"));
    Output { code: status.code().unwrap_or(-1), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
}

fn all_of(mut from: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = from.read_to_end(&mut all);
    all
}

/// Runs curl, silently and with a deadline.
pub fn curl(arguments: &[&str]) -> Output {
    let fixed = ["--silent", "--show-error", "--max-time", "15", "--noproxy", "*"];
    run("curl", &[&fixed, arguments].concat())
}

/// The Python with the packages that the tests need.
pub fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("TURNPIKE_PYTHON") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a test has a path");
    let target = own.ancestors().nth(3).expect("a test lies in target");
    target.join("venv/bin/python")
}

/// The folder of the packages of npm that the tests need.
pub fn node_modules() -> PathBuf {
    if let Some(path) = std::env::var_os("TURNPIKE_NODE_MODULES") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a test has a path");
    let target = own.ancestors().nth(3).expect("a test lies in target");
    target.join("tools/node/node_modules")
}

/// Runs one of the Node programs beside the tests.
pub fn node(name: &str, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes/node").join(name);
    let modules = format!("NODE_PATH={}", node_modules().display());
    run("env", &[&[&*modules, "node", program.to_str().expect("a path")], arguments].concat())
}

/// A browser; `None`, and a line about it, where there is none.
pub fn browser() -> Option<&'static str> {
    let found = ["/usr/bin/chromium", "/usr/bin/google-chrome"].into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        println!("SKIPPED: there is no /usr/bin/chromium, which `./test` installs");
    }
    found
}

/// The command that runs one of the Node programs beside the tests.
pub fn node_command(name: &str, arguments: &[&str]) -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes/node").join(name);
    let mut command = Command::new("node");
    command.env("NODE_PATH", node_modules()).arg(program).args(arguments);
    command
}

/// One of the Python programs beside the tests.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes/python").join(name)
}

/// An address where nobody listens, for as long as this lives; a server of the test's choice may.
pub fn reserved() -> Reserved {
    Reserved::new().expect("a free port")
}

/// nginx with one `server` block's content.
#[derive(Debug)]
pub struct Nginx {
    pub address: SocketAddr,
    _reserved: Reserved,
    child: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it and waits until it accepts.
    pub fn start(server: &str) -> Nginx {
        Nginx::listening("", server)
    }

    /// As `start`, with TLS; the certificate is the server's to name.
    pub fn start_tls(server: &str) -> Nginx {
        Nginx::listening("ssl", server)
    }

    /// As `start_tls`, with HTTP/2 by ALPN.
    pub fn start_http2(server: &str) -> Nginx {
        Nginx::listening("ssl http2", server)
    }

    /// HTTP/2 alone, by prior knowledge.
    pub fn start_prior(server: &str) -> Nginx {
        Nginx::listening("http2", server)
    }

    fn listening(how: &str, server: &str) -> Nginx {
        let folder = tempfile::tempdir().expect("a folder");
        let reserved = reserved();
        let (path, address) = (folder.path().display(), reserved.address());
        let config = format!(
            "daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
             fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n\
             server {{ listen {address} {how}; client_max_body_size 100m; {server} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config).expect("a file in our folder");
        let program = ["/usr/sbin/nginx", "nginx"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("nginx");
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).arg("-p").arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("nginx: {error}"));
        let nginx = Nginx { address, _reserved: reserved, child, _folder: folder };
        wait_for("nginx to accept", || Client::try_to(address).ok());
        nginx
    }
}

impl Nginx {
    /// The process of its one worker.
    pub fn worker(&self) -> u32 {
        let pid = self.child.id();
        wait_for("a worker of nginx", || {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            children.split_whitespace().next()?.parse().ok()
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        super::gateway::signal(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}
