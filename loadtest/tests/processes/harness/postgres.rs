// SPDX-License-Identifier: Apache-2.0
//! A server of PostgreSQL on a port and in a folder of its own, with one login that has a password.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use loadtest::socket::Reserved;
use tempfile::TempDir;

use super::certificates::Pair;
use super::gateway::signal;
use super::tool::{Output, reserved};
use super::{run, wait_for};

/// The login and its password.
pub const USER: &str = "gate";
/// With a letter that must be encoded in a URL.
pub const PASSWORD: &str = "p@ss-0123456789";

/// A running server.
pub struct Postgres {
    folder: TempDir,
    child: Option<Child>,
    port: u16,
    tls: bool,
    _reserved: Reserved,
}

impl Postgres {
    /// A new server, ready.
    pub fn start() -> Postgres {
        let folder = tempfile::Builder::new().prefix("turnpike-postgres").tempdir().expect("a folder");
        fs::write(folder.path().join("password"), PASSWORD).expect("a file in our folder");
        if let Some((user, group)) = owner() {
            for path in [folder.path().to_owned(), folder.path().join("password")] {
                chown(&path, Some(user), Some(group)).expect("we are root");
            }
        }
        let reserved = reserved();
        let mut postgres =
            Postgres { folder, child: None, port: reserved.address().port(), tls: false, _reserved: reserved };
        let password = postgres.folder.path().join("password");
        let made = postgres
            .command("initdb")
            .args(["--no-sync", "--auth=scram-sha-256", "--username", USER, "--encoding=UTF8", "--locale=C.UTF-8"])
            .arg(format!("--pwfile={}", password.display()))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres.begin();
        postgres
    }

    /// Starts it again, from now on with TLS and this certificate.
    pub fn secure(&mut self, certificate: &Pair) {
        self.end();
        certificate.write(self.folder.path(), "server");
        let key = self.folder.path().join("server.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our file");
        if let Some((user, group)) = owner() {
            ["server.key", "server.pem"].map(|name| self.folder.path().join(name)).iter().for_each(|path| {
                chown(path, Some(user), Some(group)).expect("we are root");
            });
        }
        self.tls = true;
        self.begin();
    }

    /// Starts it, after it was ended.
    pub fn begin(&mut self) {
        let folder = self.folder.path().display().to_string();
        let mut command = self.command("postgres");
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=20"]);
        command.args(["-p", &self.port.to_string(), "-k", &folder]);
        if self.tls {
            command.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={folder}/server.pem")]);
            command.args(["-c", &format!("ssl_key_file={folder}/server.key")]);
        }
        let said = |name: &str| fs::File::create(self.folder.path().join(name)).expect("a file in our folder");
        self.child = Some(command.stdout(said("stdout")).stderr(said("stderr")).spawn().expect("postgres runs"));
        wait_for("PostgreSQL", || (self.ask("SELECT 1").code == 0).then_some(()));
    }

    /// Ends it at once, as if it had crashed.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.id(), "QUIT");
            let _ = child.wait();
        }
    }

    /// Runs a statement.
    pub fn sql(&self, text: &str) -> String {
        let out = self.ask(text);
        assert_eq!(out.code, 0, "{text}: {}", out.all());
        out.text().trim().to_owned()
    }

    fn ask(&self, text: &str) -> Output {
        let url = format!("postgres://{USER}:p%40ss-0123456789@127.0.0.1:{}/postgres", self.port);
        run(binaries().join("psql"), &["-X", "-A", "-t", "-q", "-d", &url, "-c", text])
    }

    /// The URL of its database, with another word in the place of the password.
    pub fn url(&self, password: &str) -> String {
        format!("postgres://{USER}:{password}@127.0.0.1:{}/postgres", self.port)
    }

    /// The URL of its database on a host of this name, with TLS and authorities in a file.
    pub fn url_with_tls(&self, host: &str, authorities: &str) -> String {
        let file = authorities.replace('/', "%2F");
        format!("postgres://{USER}:p%40ss-0123456789@{host}:{}/postgres?sslmode=require&sslrootcert={file}", self.port)
    }

    /// The URL of its database without a password.
    pub fn url_alone(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(binaries().join(name));
        command.arg("-D").arg(self.folder.path().join("data")).current_dir(self.folder.path());
        if let Some((user, group)) = owner() {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// The newest of Debian's folders.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("Debian's `postgresql` is installed");
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(|path| number(path));
    newest.expect("a version of PostgreSQL").join("bin")
}

/// The account that it runs as where we are root, as which it refuses to run.
fn owner() -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let root = run("id", &["-u"]).text().trim() == "0";
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let account = accounts.lines().map(fields).find(|fields| fields[0] == "postgres")?;
    root.then(|| Some((account.get(2)?.parse().ok()?, account.get(3)?.parse().ok()?))).flatten()
}
