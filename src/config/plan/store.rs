// SPDX-License-Identifier: Apache-2.0
//! Where the store is: a file, or a database of a server of PostgreSQL.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::base::percent;
use crate::config::spec::shape::Secret;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreTarget {
    /// A file of SQLite.
    File(PathBuf),
    /// A server of PostgreSQL.
    Server(Box<StoreServer>),
}

/// A database of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreServer {
    /// Where it listens.
    pub host: StoreHost,
    /// The port; of a Unix socket the number in its name.
    pub port: u16,
    /// Who we are.
    pub user: String,
    /// How we prove it, where the server asks.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// How the connection is secured.
    pub tls: StoreTls,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreHost {
    /// A name or an address.
    Name(String),
    /// The folder of a Unix socket.
    Folder(PathBuf),
}

/// How the connection to a server is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreTls {
    /// Not at all.
    Off,
    /// By TLS; the server's certificate must be signed by one of the authorities in this file, or of the machine where
    /// there is none, and have its name.
    Verified(Option<PathBuf>),
}

/// PostgreSQL's own port.
const PORT: u16 = 5432;

/// The URL without the password.
impl fmt::Display for StoreServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreServer { host, port, user, database, .. } = self;
        match host {
            StoreHost::Name(name) if name.contains(':') => write!(out, "postgres://{user}@[{name}]:{port}/{database}"),
            StoreHost::Name(name) => write!(out, "postgres://{user}@{name}:{port}/{database}"),
            StoreHost::Folder(path) => write!(out, "postgres://{user}@:{port}/{database}?host={}", path.display()),
        }
    }
}

impl fmt::Display for StoreTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreTarget::File(path) => path.display().fmt(out),
            StoreTarget::Server(server) => server.fmt(out),
        }
    }
}

impl StoreServer {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`. The error says what is wrong, and shows no part
    /// of the URL but the names of its parameters.
    pub fn parse(url: &str) -> Result<StoreServer, String> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or("a URL of a store begins with `postgres://`")?;
        if rest.contains('#') {
            return Err("`#` must be written as `%23`".to_owned());
        }
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').ok_or("the database is missing: `/NAME` behind the host")?;
        let (login, place) = authority.rsplit_once('@').ok_or("the user is missing: `USER@` before the host")?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let user = decoded(user, "the user")?;
        let password = password.map(|password| decoded(password, "the password")).transpose()?.map(Secret);
        let database = decoded(database, "the database")?;
        let (name, port) = host_and_port(place)?;
        let Parameters { folder, tls } = Parameters::parse(parameters)?;
        let host = match (name, folder) {
            (None, None) => return Err("the host is missing".to_owned()),
            (Some(_), Some(_)) => return Err("there are two hosts: one before the database, and `host`".to_owned()),
            (Some(name), None) => StoreHost::Name(name),
            (None, Some(path)) => StoreHost::Folder(path),
        };
        // Nothing is sent over a network as it is, unless somebody asks for that.
        let tls = tls.unwrap_or_else(|| if host.is_here() { StoreTls::Off } else { StoreTls::Verified(None) });
        if matches!((&host, &tls), (StoreHost::Folder(_), StoreTls::Verified(_))) {
            return Err("there is no TLS over a Unix socket".to_owned());
        }
        Ok(StoreServer { host, port, user, password, database, tls })
    }
}

impl StoreHost {
    /// Is it this machine?
    fn is_here(&self) -> bool {
        match self {
            StoreHost::Name(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
            StoreHost::Folder(_) => true,
        }
    }
}

/// A part of a URL that must not be empty.
fn decoded(text: &str, what: &str) -> Result<String, String> {
    let fault = || format!("{what} is empty, or not percent-encoded as it must be");
    percent::decode(text).filter(|text| !text.is_empty()).ok_or_else(fault)
}

fn host_and_port(place: &str) -> Result<(Option<String>, u16), String> {
    let (name, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']').ok_or("the host has no `]`")?;
            let address: std::net::Ipv6Addr = address.parse().map_err(|_| "`[…]` holds no IPv6 address")?;
            let port = match behind.strip_prefix(':') {
                Some(port) => Some(port),
                None if behind.is_empty() => None,
                None => return Err("the host is wrong".to_owned()),
            };
            (Some(address.to_string()), port)
        }
        None => {
            let (name, port) = place.split_once(':').map_or((place, None), |(name, port)| (name, Some(port)));
            if name.contains(',') {
                return Err("one host is allowed; a server that moves keeps its name".to_owned());
            }
            let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if !name.bytes().all(is_host) {
                return Err("the host is wrong".to_owned());
            }
            (Some(name.to_owned()).filter(|name| !name.is_empty()), port)
        }
    };
    let number = |text: &str| text.parse().ok().filter(|port| *port != 0 && text.bytes().all(|b| b.is_ascii_digit()));
    match port {
        None => Ok((name, PORT)),
        Some(text) => number(text).map(|port| (name, port)).ok_or_else(|| "the port is 1 to 65535".to_owned()),
    }
}

#[derive(Default)]
struct Parameters {
    folder: Option<PathBuf>,
    tls: Option<StoreTls>,
}

impl Parameters {
    fn parse(text: &str) -> Result<Parameters, String> {
        let (mut parameters, mut roots) = (Parameters::default(), None);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value, &format!("`{name}`"))?;
            let twice = match name {
                "host" if value.starts_with('/') => parameters.folder.replace(value.into()).is_some(),
                "host" => return Err("`host` is the folder of a Unix socket; a name stands before the database".into()),
                "sslmode" => parameters.tls.replace(tls(&value)?).is_some(),
                "sslrootcert" => roots.replace(PathBuf::from(value)).is_some(),
                _ => return Err(format!("`{name}` is no parameter; there are `host`, `sslmode` and `sslrootcert`")),
            };
            if twice {
                return Err(format!("`{name}` stands twice"));
            }
        }
        match (&mut parameters.tls, roots) {
            (_, None) => {}
            (Some(StoreTls::Verified(known)), roots) => *known = roots,
            (None | Some(StoreTls::Off), Some(_)) => {
                return Err("`sslrootcert` needs `sslmode=require`".to_owned());
            }
        }
        Ok(parameters)
    }
}

fn tls(mode: &str) -> Result<StoreTls, String> {
    match mode {
        "disable" => Ok(StoreTls::Off),
        "require" | "verify-full" => Ok(StoreTls::Verified(None)),
        _ => Err("`sslmode` is `require` (the certificate is checked) or `disable`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> StoreServer {
        StoreServer::parse(url).unwrap_or_else(|fault| panic!("{url}: {fault}"))
    }

    #[test]
    fn a_url_is_read_and_shown_without_its_password() {
        let server = parsed("postgres://gate:p%40ss@db.test:6432/turnpike?sslmode=require&sslrootcert=%2Fca.pem");
        assert_eq!((server.user.as_str(), server.port, server.database.as_str()), ("gate", 6432, "turnpike"));
        assert_eq!(server.password.as_ref().map(|password| password.0.as_str()), Some("p@ss"));
        assert_eq!(server.tls, StoreTls::Verified(Some("/ca.pem".into())));
        assert_eq!(server.to_string(), "postgres://gate@db.test:6432/turnpike");
        assert!(!format!("{server:?}").contains("p@ss"));
        let socket = parsed("postgresql://gate@/turnpike?host=/run/postgresql");
        assert_eq!((socket.host, socket.port), (StoreHost::Folder("/run/postgresql".into()), 5432));
        assert_eq!(parsed("postgres://u@[::1]/d").host, StoreHost::Name("::1".to_owned()));
    }

    #[test]
    fn a_connection_over_a_network_is_secured_unless_somebody_says_otherwise() {
        for (url, tls) in [
            ("postgres://u@localhost/d", StoreTls::Off),
            ("postgres://u@127.0.0.1/d", StoreTls::Off),
            ("postgres://u@[::1]:1/d", StoreTls::Off),
            ("postgres://u@localhost/d?sslmode=verify-full", StoreTls::Verified(None)),
            ("postgres://u@10.0.0.1/d", StoreTls::Verified(None)),
            ("postgres://u@db/d", StoreTls::Verified(None)),
            ("postgres://u@db/d?sslmode=disable", StoreTls::Off),
        ] {
            assert_eq!(parsed(url).tls, tls, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_and_not_shown() {
        const WRONG: &[&str] = &[
            "mysql://u:hidden@h/d",
            "postgres://u:hidden@h",
            "postgres://u:hidden@h/",
            "postgres://h/hidden",
            "postgres://:hidden@h/d",
            "postgres://u:@h/d",
            "postgres://u:hidden%zz@h/d",
            "postgres://u:hidden@h:0/d",
            "postgres://u:hidden@h:+1/d",
            "postgres://u:hidden@h:99999/d",
            "postgres://u:hidden@h,i/d",
            "postgres://u:hidden@h h/d",
            "postgres://u:hidden@[::1/d",
            "postgres://u:hidden@[h]/d",
            "postgres://u:hidden@/d",
            "postgres://u:hidden@h/d?host=/run",
            "postgres://u:hidden@/d?host=run",
            "postgres://u:hidden@h/d?sslmode=prefer",
            "postgres://u:hidden@h/d?sslmode=disable&sslmode=require",
            "postgres://u:hidden@h/d?sslrootcert=/ca",
            "postgres://u:hidden@/d?host=/run&sslmode=require",
            "postgres://u:hidden@h/d?options=hidden",
            "postgres://u:hidden@h/d#x",
        ];
        for url in WRONG {
            let fault = StoreServer::parse(url).expect_err(url);
            assert!(!fault.contains("hidden"), "{url}: {fault}");
        }
    }
}
