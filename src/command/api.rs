// SPDX-License-Identifier: Apache-2.0
//! The way to the admin API of a gateway: over its control socket, or over TCP with a token.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::command::admin_arguments::Target;
use crate::command::admin_client::find;

/// Longest wait for a response. A reload with many certificates takes several seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(100);
/// Longest wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Largest answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why something was not done: the exit status and the words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    code: u8,
    words: String,
}

impl Failure {
    /// The gateway could not be asked, or it failed.
    pub(super) fn of(words: impl Into<String>) -> Failure {
        Failure { code: 1, words: words.into() }
    }

    /// The command line is wrong.
    pub(super) fn usage(words: impl Into<String>) -> Failure {
        Failure { code: 2, words: words.into() }
    }

    /// Says it, and gives the exit status.
    pub(super) fn exit(&self) -> ExitCode {
        eprintln!("error: {}", self.words);
        ExitCode::from(self.code)
    }

    /// The gateway refused with a problem document.
    fn refused(status: u16, document: &str) -> Failure {
        let code = match status {
            404 => 3,
            401 | 403 | 429 => 4,
            409 | 412 => 5,
            400 | 413 | 415 | 422 => 6,
            _ => 1,
        };
        let problem: Value = serde_json::from_str(document).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().map(str::to_owned);
        let mut words = text("detail").or_else(|| text("title")).unwrap_or_else(|| document.trim_end().to_owned());
        for fault in problem["errors"].as_array().into_iter().flatten().skip(usize::from(words.starts_with('/'))) {
            let (pointer, detail) = (fault["pointer"].as_str().unwrap_or(""), fault["detail"].as_str().unwrap_or(""));
            if detail != words {
                words.push_str(&format!("\n  {pointer}: {detail}"));
            }
        }
        if words.is_empty() {
            words = format!("status {status}");
        }
        Failure { code, words }
    }
}

/// A gateway that is asked.
#[derive(Debug)]
pub(super) struct Api {
    place: Place,
    token: Option<String>,
}

#[derive(Debug)]
enum Place {
    Socket(PathBuf),
    Tcp { host: String, port: u16, tls: Option<Arc<rustls::ClientConfig>> },
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct ApiRequest {
    /// The method.
    pub method: &'static str,
    /// The path behind `/api/v1`, with its query.
    pub path: String,
    /// Further fields.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: Option<Value>,
}

impl ApiRequest {
    /// Without fields and body.
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> ApiRequest {
        ApiRequest { method, path: path.into(), fields: Vec::new(), body: None }
    }

    /// With a body.
    pub(super) fn body(mut self, body: Value) -> ApiRequest {
        self.body = Some(body);
        self
    }

    /// With a field.
    pub(super) fn field(mut self, name: &'static str, value: impl Into<String>) -> ApiRequest {
        self.fields.push((name, value.into()));
        self
    }
}

impl Api {
    /// The gateway that the arguments mean.
    pub(super) fn of(target: &Target) -> Result<Api, Failure> {
        let Some(url) = &target.server else {
            return Ok(Api { place: Place::Socket(find(&target.running).map_err(Failure::of)?), token: None });
        };
        let token = target.token_file.as_deref().map(read_token).transpose()?;
        Ok(Api { place: place_of(url)?, token })
    }

    /// Asks; gives the document, `null` where there is none.
    pub(super) fn ask(&self, request: &ApiRequest) -> Result<Value, Failure> {
        let (status, body) =
            self.exchange(request).map_err(|error| Failure::of(format!("{}: {error}", self.name())))?;
        if !(200..300).contains(&status) {
            return Err(Failure::refused(status, &body));
        }
        match body.trim_end() {
            "" => Ok(Value::Null),
            text => serde_json::from_str(text).map_err(|_| Failure::of(format!("{}: not JSON: {text}", self.name()))),
        }
    }

    /// All items of a list, over as many parts as it has.
    pub(super) fn list(&self, path: &str, items_max: usize) -> Result<Vec<Value>, Failure> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let after = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
            let limit = (items_max - items.len()).clamp(1, 1_000);
            let part = self.ask(&ApiRequest::new("GET", format!("{path}{joint}limit={limit}{after}")))?;
            items.extend(part["items"].as_array().cloned().unwrap_or_default());
            cursor = part["next"].as_str().map(str::to_owned);
            if cursor.is_none() || items.len() >= items_max {
                return Ok(items);
            }
        }
    }

    fn name(&self) -> String {
        match &self.place {
            Place::Socket(path) => path.display().to_string(),
            Place::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }

    fn exchange(&self, request: &ApiRequest) -> io::Result<(u16, String)> {
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        let host = match &self.place {
            Place::Socket(_) => "turnpike".to_owned(),
            Place::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port, .. } => format!("{host}:{port}"),
        };
        let mut head = format!(
            "{} /api/v1{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
            request.method,
            request.path,
            body.len()
        );
        if request.body.is_some() {
            let patch = if request.method == "PATCH" { "merge-patch+" } else { "" };
            head.push_str(&format!("Content-Type: application/{patch}json\r\n"));
        }
        let token = self.token.as_ref().map(|token| ("Authorization", format!("Bearer {token}")));
        for (name, value) in request.fields.iter().chain(&token) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let text = format!("{head}\r\n{body}");
        let answer = match &self.place {
            Place::Socket(path) => over(UnixStream::connect(path).and_then(timed_unix)?, &text)?,
            Place::Tcp { host, port, tls } => {
                let stream = connect(host, *port)?;
                match tls {
                    None => over(stream, &text)?,
                    Some(config) => over(with_tls(stream, host, config)?, &text)?,
                }
            }
        };
        parse(&answer).ok_or_else(|| io::Error::other("the response is not complete"))
    }
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::of(format!("{}: {error}", path.display())))?;
    let token = text.trim();
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(Failure::of(format!("{}: there is no token in it", path.display()))),
    }
}

/// The place that a URL names.
fn place_of(url: &str) -> Result<Place, Failure> {
    let wrong = || Failure::usage(format!("`{url}` is not http://HOST:PORT or https://HOST:PORT"));
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((host, behind)) => (host, behind.strip_prefix(':')),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte))
    };
    if !is_host(host) {
        return Err(wrong());
    }
    let usual = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let port = port.map_or(Some(usual), |port| port.parse().ok()).ok_or_else(wrong)?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => None,
        "https" => Some(Arc::new(client_config()?)),
        _ => return Err(wrong()),
    };
    Ok(Place::Tcp { host: host.to_owned(), port, tls })
}

/// Trusts what the machine trusts.
fn client_config() -> Result<rustls::ClientConfig, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Failure::of(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in std::net::ToSocketAddrs::to_socket_addrs(&(host, port))? {
        match TcpStream::connect_timeout(&address, CONNECT_WAIT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(ANSWER_WAIT))?;
                stream.set_write_timeout(Some(ANSWER_WAIT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn with_tls(
    stream: TcpStream,
    host: &str,
    config: &Arc<rustls::ClientConfig>,
) -> io::Result<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connection = rustls::ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    Ok(rustls::StreamOwned::new(connection, stream))
}

fn timed_unix(stream: UnixStream) -> io::Result<UnixStream> {
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.set_write_timeout(Some(ANSWER_WAIT))?;
    Ok(stream)
}

fn over(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
        // A peer that closes TLS without saying so: whether the response is whole is judged by its length.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        Ok(_) | Err(_) => Ok(answer),
    }
}

/// The status and the body of a response that ends with its connection; `None` where it is not whole.
fn parse(bytes: &[u8]) -> Option<(u16, String)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    let status = head.code?;
    let length_field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let expected = match length_field {
        Some(field) => std::str::from_utf8(field.value).ok()?.parse().ok()?,
        None if status == 204 => 0,
        None => return None,
    };
    let body = bytes.get(length..).filter(|body| body.len() == expected)?;
    Some((status, String::from_utf8_lossy(body).into_owned()))
}

/// Text as one segment of a path or one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_strictly() {
        let place = |url: &str| match place_of(url) {
            Ok(Place::Tcp { host, port, tls }) => Ok((host, port, tls.is_some())),
            Ok(Place::Socket(_)) => panic!("a URL"),
            Err(failure) => Err(failure.code),
        };
        for (url, expected) in [
            ("http://a.test:9180", Ok(("a.test", 9180, false))),
            ("http://a.test/", Ok(("a.test", 80, false))),
            ("HTTPS://a.test", Ok(("a.test", 443, true))),
            ("http://[::1]:1", Ok(("::1", 1, false))),
            ("a.test:80", Err(2)),
            ("ftp://a.test", Err(2)),
            ("http://a.test:x", Err(2)),
            ("http://a.test/path", Err(2)),
            ("http://user@a.test", Err(2)),
            ("http://a\r\nX: y", Err(2)),
            ("http://", Err(2)),
        ] {
            assert_eq!(place(url), expected.map(|(host, port, tls)| (host.to_owned(), port, tls)), "{url}");
        }
    }

    #[test]
    fn refusals_have_exit_statuses_and_words() {
        let document =
            r#"{"detail":"2 faults","errors":[{"pointer":"/a","detail":"no"},{"pointer":"/b","detail":"nor"}]}"#;
        let failure = Failure::refused(422, document);
        assert_eq!((failure.code, failure.words.as_str()), (6, "2 faults\n  /a: no\n  /b: nor"));
        let one = Failure::refused(422, r#"{"detail":"/a: no","errors":[{"pointer":"/a","detail":"no"}]}"#);
        assert_eq!(one.words, "/a: no");
        for (status, code) in [(404, 3), (401, 4), (403, 4), (409, 5), (412, 5), (400, 6), (503, 1), (500, 1)] {
            assert_eq!(Failure::refused(status, "").code, code, "{status}");
        }
    }

    #[test]
    fn responses_are_whole_or_nothing() {
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\n\r\n"), Some((204, String::new())));
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(whole), Some((200, "{}".to_owned())));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None);
        }
        assert_eq!(encoded("unix:/a b"), "unix%3A%2Fa%20b");
    }
}
