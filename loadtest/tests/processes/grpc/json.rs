// SPDX-License-Identifier: Apache-2.0
//! JSON in the place of gRPC, with curl as the client and grpcio as the server of the sample service.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::grpc::calls::WEB2;
use crate::harness::gateway::signal;
use crate::harness::tool::{python, script};
use crate::harness::{Gateway, Setup, curl};

/// The Python server and its descriptor set.
pub struct Library {
    child: Child,
    /// Where it listens.
    pub port: u16,
    folder: TempDir,
}

/// The command of the server, which first writes its descriptor set.
fn server(descriptors: &Path) -> Command {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/wire/grpc/json/sample");
    let mut command = Command::new(python());
    command.arg(script("grpc_json_server.py")).arg(protos).arg(descriptors);
    command
}

/// Writes the descriptor set of the sample service.
pub fn describe(descriptors: &Path) {
    describe_with(descriptors, &[]);
}

fn describe_with(descriptors: &Path, arguments: &[&str]) {
    let status = server(descriptors).arg("only").args(arguments).status().expect("python runs");
    assert!(status.success(), "are the packages of gRPC installed?");
}

impl Library {
    fn start() -> Library {
        Library::with(&[])
    }

    /// With these arguments more.
    pub fn with(arguments: &[&str]) -> Library {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = server(&folder.path().join("library.pb"));
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        let port = line.trim().parse().expect("a port; are the packages of gRPC installed?");
        Library { child, port, folder }
    }

    /// A gateway with one route and these lines in it; in `options` those of `grpc.json`.
    fn gateway(&self, options: &str, route: &str) -> Gateway {
        let set = fs::read(self.folder.path().join("library.pb")).expect("a descriptor set");
        Setup::new(format!(
            "{WEB2}\n[upstream.library]\nendpoints = \"127.0.0.1:{}\"\nhttp = \"2\"\n[[route]]\nto = \"library\"\n\
             grpc = {{ json = {{ descriptors = \"library.pb\" {options} }} }}\n{route}\n",
            self.port
        ))
        .file("library.pb", set)
        .start()
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

/// How the gateway and the server say that a deadline passed.
const LATE: [&str; 2] = ["the service did not answer in time", "Deadline Exceeded"];

/// Status, type and JSON of an answer, over both versions of HTTP.
pub fn ask(gateway: &Gateway, arguments: &[&str], target: &str) -> (u16, String, Value) {
    let url = gateway.url(target);
    let mut answers = ["--http1.1", "--http2-prior-knowledge"].map(|version| {
        let form = ["-w", "\n%{http_code} %{content_type}", version, &url];
        let out = curl(&[&form[..], arguments].concat());
        assert_eq!(out.code, 0, "{}", out.all());
        let text = out.text();
        let (body, last) = text.rsplit_once('\n').expect("a last line");
        let (status, kind) = last.split_once(' ').expect("two words");
        let mut body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
        let error = match &mut body {
            Value::Array(rows) => rows.last_mut().and_then(|row| row.get_mut("error")),
            body => Some(body),
        };
        if let Some(error) = error
            && error["code"] == 4
        {
            // The server hears of the deadline, too: either may be the first to end the call, in its own words.
            let words = error["message"].take();
            assert!(LATE.iter().any(|late| words == *late), "{words}");
        }
        (status.parse().expect("a status"), kind.to_owned(), body)
    });
    assert_eq!(answers[0], answers[1]);
    std::mem::take(&mut answers[0])
}

fn answered(gateway: &Gateway, arguments: &[&str], target: &str) -> Value {
    let (status, kind, body) = ask(gateway, arguments, target);
    assert_eq!((status, kind.as_str()), (200, "application/json"), "{body}");
    body
}

#[test]
fn calls_are_made_of_path_query_and_body() {
    let library = Library::start();
    let gateway = library.gateway("", "");
    let book = answered(&gateway, &[], "/v1/shelves/1/books/2?fullText=true");
    let pages = (1_u64 << 60).to_string();
    let expected = json!({"name": "shelves/1/books/2", "pageTitle": "full", "pages": pages, "kind": "KIND_ATLAS"});
    assert_eq!(book, expected);
    let posted = r#"{"pageTitle": "Über", "pages": 12}"#;
    let made = answered(&gateway, &["-d", posted, "-H", "content-type: application/json"], "/v1/shelves/3/books");
    assert_eq!(made, json!({"name": "shelves/3/books/Über", "pages": "12"}));
    assert_eq!(answered(&gateway, &["-d", "{}"], "/v1/shelves/1/books/2:publish"), json!({}));
    let entry = &gateway.log(1)[0];
    assert_eq!((&entry["status"], &entry["grpc_status"]), (&json!(200), &json!("OK")));
    // Metadata are fields, and to HEAD no body is sent.
    let out = curl(&["-I", &gateway.url("/v1/books/x")]);
    let head = out.text().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("x-shelf: 7\r\n"), "{head}");
    assert!(!head.contains("grpc-"), "{head}");
    // HEAD is taken where GET is, and says what GET would.
    let target = gateway.url("/v1/shelves/1/books/2");
    let [got, head] = [&["-s", "-i"][..], &["-I"]].map(|form| curl(&[form, &[&target]].concat()).text());
    let fields = |text: &str| -> Vec<String> {
        let head = text.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
        head.lines()
            .filter(|line| !line.starts_with("date:") && !line.starts_with("content-length:"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(fields(&got), fields(&head));
    assert!(head.ends_with("\r\n\r\n") && !got.ends_with("\r\n\r\n"));
}

#[test]
fn failures_are_json_with_their_own_status() {
    let library = Library::start();
    let gateway = library.gateway("", "limits = { body = \"2KiB\" }");
    let failed = |arguments: &[&str], target: &str| {
        let (status, kind, body) = ask(&gateway, arguments, target);
        assert_eq!(kind, "application/json", "{body}");
        (status, body["code"].as_u64().unwrap_or(0), body["message"].as_str().unwrap_or("").to_owned())
    };
    let none = failed(&[], "/v1/shelves/1/books/none");
    assert_eq!(none, (404, 5, "no such book: ä".to_owned()));
    assert_eq!(failed(&[], "/v1/unknown").0, 404);
    assert_eq!(failed(&["-X", "DELETE"], "/v1/shelves/1/books/2").0, 405);
    assert_eq!(failed(&[], "/v1/shelves/1/books/2?color=red").0, 400);
    assert_eq!(failed(&["-d", "{]"], "/v1/shelves/3/books").0, 400);
    assert_eq!(failed(&[], "/v1/shelves/1/titles").0, 501);
    let long = format!("{{\"pageTitle\": \"{}\"}}", "x".repeat(4_000));
    let (status, _, _) = ask(&gateway, &["-d", &long], "/v1/shelves/3/books");
    assert_eq!(status, 413);
}

#[test]
fn refusals_say_what_would_be_taken() {
    let library = Library::start();
    let gateway = library.gateway("", "");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let head = |arguments: &[&str], target: &str| {
            let form = ["-D", "-", "-o", "/dev/null", version, &gateway.url(target)];
            curl(&[&form[..], arguments].concat()).text().to_ascii_lowercase()
        };
        let book = head(&["-X", "DELETE"], "/v1/shelves/1/books/2");
        assert!(book.contains(" 405") && book.contains("allow: get, head, patch\r\n"), "{book}");
        let encoded = |coding: &str, data: &str| {
            head(&["-d", data, "-H", &format!("content-encoding: {coding}")], "/v1/shelves/3/books")
        };
        for coding in ["gzip", "br", "identity, deflate"] {
            let head = encoded(coding, "{}");
            assert!(head.contains(" 415") && head.contains("accept-encoding: identity\r\n"), "{head}");
        }
        assert!(encoded("identity", "{}").contains(" 200"));
        // Where no body is taken, nothing has to be decoded.
        let get = head(&["-H", "content-encoding: gzip"], "/v1/shelves/1/books/2");
        assert!(get.contains(" 200"), "{get}");
    }
}

#[test]
fn the_gateways_own_failures_are_json_too() {
    let mut library = Library::start();
    let gateway = library.gateway("", "timeouts = { total = \"500ms\" }");
    let (status, kind, body) = ask(&gateway, &[], "/v1/shelves/1/books/slow");
    assert_eq!((status, kind.as_str(), &body["code"]), (504, "application/json", &json!(4)));
    signal(library.child.id(), "KILL");
    let _ = library.child.wait();
    let (status, kind, body) = ask(&gateway, &[], "/v1/shelves/1/books/2");
    assert_eq!((status, kind.as_str(), &body["code"]), (503, "application/json", &json!(14)));
    let entry = &gateway.log(4)[3];
    assert_eq!((&entry["status"], &entry["grpc_status"]), (&json!(503), &json!("UNAVAILABLE")), "{entry}");
}

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Route,
    Listener,
}

/// A gateway with one policy.
fn with_policy(library: &Library, policy: &str, of: Of) -> Gateway {
    let line = "policies = \"one\"\n";
    let (of_listener, of_route) = if of == Of::Listener { (line, "") } else { ("", line) };
    let set = fs::read(library.folder.path().join("library.pb")).expect("a descriptor set");
    Setup::new(format!(
        "{WEB2}timeouts = {{ body = \"300ms\" }}\n{of_listener}\
         [upstream.library]\nendpoints = \"127.0.0.1:{}\"\nhttp = \"2\"\n\
         [[consumer]]\nname = \"a\"\nkeys = {{ key = \"a-long-enough-key-0123456789\" }}\n[policy.one]\n{policy}\n\
         [[route]]\nto = \"library\"\n{of_route}grpc = {{ json = \"library.pb\" }}\n\
         [[route]]\npath_prefix = \"/plain\"\nanswer = {{ body = \"plain\" }}\n",
        library.port
    ))
    .file("library.pb", set)
    .start()
}

#[test]
fn what_policies_refuse_is_json_too() {
    let library = Library::start();
    let book = "/v1/shelves/1/books/2";
    let table = [
        ("api_key = {}", 401, 16),
        ("network = { allow = [\"10.9.8.0/24\"] }", 403, 7),
        ("rate_limit = { rate = \"1/h\" }", 429, 8),
    ];
    let cases = table.iter().flat_map(|row| [(row, Of::Route), (row, Of::Listener)]);
    for ((policy, status, code), of) in cases.map(|(row, of)| (*row, of)) {
        let gateway = with_policy(&library, policy, of);
        if status == 429 {
            assert_eq!(gateway.get(book).status, 200);
        }
        let (got, kind, body) = ask(&gateway, &[], book);
        assert_eq!((got, kind.as_str(), &body["code"]), (status, "application/json", &json!(code)), "{body}");
        let words = body["message"].as_str().unwrap_or("");
        assert!(!words.is_empty() && body["details"] == json!([]), "{body}");
        let head = curl(&["-I", &gateway.url(book)]).text();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        if of == Of::Listener {
            // Whoever asks for another route, or for none, reads a problem document.
            for (arguments, target) in [(&[][..], "/plain"), (&["-X", "OPTIONS", "--request-target", "*"], "/")] {
                let (got, kind, body) = ask(&gateway, arguments, target);
                let seen = (got, kind.as_str(), &body["status"]);
                assert_eq!(seen, (status, "application/problem+json", &json!(status)), "{target}");
            }
            let line = &gateway.log(3)[2];
            assert_eq!((&line["route"], &line["status"]), (&json!(""), &json!(status)), "{line}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_json() {
    let library = Library::start();
    let gateway = with_policy(&library, "network = { allow = [\"127.0.0.0/8\"] }", Of::Route);
    let raw = |request: &str| {
        let mut client = gateway.client();
        client.send(request);
        let answer = client.answer();
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        (answer.status, body["code"].as_u64().unwrap_or(0))
    };
    let post = "POST /v1/shelves/3/books HTTP/1.1\r\nHost: x\r\n";
    // A chunk that is none, a body that does not come, a deadline that is none.
    assert_eq!(raw(&format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n")), (400, 3));
    assert_eq!(raw(&format!("{post}Content-Length: 10\r\n\r\n{{")), (408, 4));
    assert_eq!(raw(&format!("{post}grpc-timeout: soon\r\nContent-Length: 2\r\n\r\n{{}}")), (400, 3));
    // Calls of gRPC on the same route are told as ever.
    let framed = ["-D", "-", "-o", "/dev/null", "-X", "POST", "-H", "content-type: application/grpc"];
    let head =
        curl(&[&framed[..], &["-H", "grpc-timeout: soon", &gateway.url("/library.v1.Library/GetBook")]].concat());
    assert!(head.text().to_ascii_lowercase().contains("grpc-status: 13\r\n"), "{}", head.text());
}

#[test]
fn streams_of_the_server_are_lines_or_events() {
    let library = Library::start();
    let gateway = library.gateway("", "");
    let lines = |tags: &str| {
        let (status, kind, body) = ask(&gateway, &[], &format!("/v1/shelves/1/watch?pageSize=3{tags}"));
        assert_eq!((status, kind.as_str()), (200, "application/x-ndjson"));
        body.as_str().expect("lines").to_owned()
    };
    let books: String = (0..3).map(|number| format!("{{\"name\":\"shelves/1/books/{number}\"}}\n")).collect();
    assert_eq!(lines(""), books);
    let error = "{\"error\":{\"code\":10,\"message\":\"enough\",\"details\":[]}}\n";
    assert_eq!(lines("&tags=fail"), format!("{books}{error}"));
    let accept = ["-H", "accept: text/event-stream"];
    let (_, kind, events) = ask(&gateway, &accept, "/v1/shelves/1/watch?pageSize=2");
    assert_eq!(kind, "text/event-stream");
    let expected: String =
        (0..2).map(|number| format!("data: {{\"name\":\"shelves/1/books/{number}\"}}\n\n")).collect();
    assert_eq!(events, expected);
    // Before the first message, a failure has its own status.
    let (status, _, body) = ask(&gateway, &[], "/v1/shelves/1/watch?tags=fail");
    assert_eq!((status, &body["code"]), (409, &json!(10)));
    // Messages leave when they come: the whole stream takes far longer than the client waits.
    let mut client = gateway.client();
    client.send("GET /v1/shelves/1/watch?pageSize=1000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().status, 200);
}

#[test]
fn deadlines_end_streams_with_an_error() {
    let library = Library::start();
    let gateway = library.gateway(", stream = \"array\"", "timeouts = { total = \"700ms\" }");
    let (status, kind, body) = ask(&gateway, &[], "/v1/shelves/1/watch?pageSize=1&tags=wait");
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert_eq!((&body[0]["name"], &body[1]["error"]["code"]), (&json!("shelves/1/books/0"), &json!(4)), "{body}");
}

#[test]
fn clients_stream_lines() {
    let library = Library::start();
    let gateway = library.gateway("", "");
    let lines = "{\"book\": {\"pageTitle\": \"a\"}}\n{\"book\": {\"pageTitle\": \"b\"}}\n";
    let taken = answered(&gateway, &["--data-binary", lines], "/v1/shelves/9/import");
    assert_eq!(taken, json!({"titles": ["shelves/9: a", "shelves/9: b"]}));
    let (_, _, back) = ask(&gateway, &["--data-binary", "{\"name\":\"a\"}\n{\"name\":\"b\"}"], "/v1/chat");
    assert_eq!(back, "{\"name\":\"re: a\"}\n{\"name\":\"re: b\"}\n");
    let (status, _, body) = ask(&gateway, &["--data-binary", "{\"name\":\"a\"}\n{]\n"], "/v1/shelves/9/import");
    assert_eq!((status, &body["code"]), (400, &json!(3)), "{body}");
}

#[test]
fn bytes_are_bytes() {
    let library = Library::start();
    let gateway = library.gateway("", "");
    let (status, kind, body) = ask(&gateway, &[], "/v1/files/a/b");
    assert_eq!((status, kind.as_str()), (200, "image/png"));
    assert_eq!(body.as_str().map(str::len), Some(300_000));
}

#[test]
fn parameters_of_others_may_be_ignored() {
    let library = Library::start();
    let gateway = library.gateway(", ignored_query = [\"utm_source\", \"v\"]", "");
    assert_eq!(ask(&gateway, &[], "/v1/books/x?utm_source=a&v=1&v=2&fullText=true").0, 200);
    assert_eq!(ask(&gateway, &[], "/v1/books/x?utm_medium=a").0, 400);
}

#[test]
fn a_changed_file_is_taken_up_by_a_reload() {
    let library = Library::start();
    let gateway = library.gateway("", "");
    let status = |target: &str| ask(&gateway, &[], target).0;
    assert_eq!((status("/v1/books/x"), status("/v2/books/x")), (200, 404));
    assert_eq!(gateway.reload().0, 200);
    assert_eq!((status("/v1/books/x"), status("/v2/books/x")), (200, 404));
    describe_with(&gateway.path("library.pb"), &["version=v2"]);
    assert_eq!(gateway.reload().0, 200);
    assert_eq!((status("/v1/books/x"), status("/v2/books/x")), (404, 200));
}

#[test]
fn json_is_compressed_and_grpc_is_not() {
    let library = Library::start();
    let set = fs::read(library.folder.path().join("library.pb")).expect("a descriptor set");
    let gateway = Setup::new(format!(
        "{WEB2}[upstream.library]\nendpoints = \"127.0.0.1:{}\"\nhttp = \"2\"\n\
         [policy.gzip]\ncompression = {{ min_length = 1000 }}\n\
         [[route]]\nto = \"library\"\npolicies = \"gzip\"\ngrpc = {{ json = \"library.pb\" }}\n",
        library.port
    ))
    .file("library.pb", set)
    .start();
    let long = "shelf".repeat(1_000);
    let fields_of = |headers: &[&str], target: &str| {
        let url = gateway.url(target);
        let head = ["--http2-prior-knowledge", "-D", "-", "-o", "/dev/null", "-H", "accept-encoding: gzip"];
        curl(&[&head[..], headers, &[&url]].concat()).text().to_ascii_lowercase()
    };
    let (asked, short) = (format!("/v1/books/{long}"), "/v1/books/x");
    assert_eq!(answered(&gateway, &["--compressed"], &asked)["name"], *long);
    assert_eq!(answered(&gateway, &[], &asked)["name"], *long);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let measured = ["--compressed", "-o", "/dev/null", "-w", "%{size_download}", version, &gateway.url(&asked)];
        let size: usize = curl(&measured).text().parse().expect("a number");
        assert!(size > 20 && size < long.len() / 10, "{version}: {size} bytes");
    }
    let fields = fields_of(&[], &asked);
    assert!(fields.contains("content-encoding: gzip\r\n") && fields.contains("vary: accept-encoding\r\n"), "{fields}");
    assert!(!fields_of(&[], short).contains("content-encoding"), "below the minimum");
    // An error is JSON as well: too short to be compressed, whatever the server says of the message.
    let missing = ask(&gateway, &["--compressed"], "/v1/shelves/1/books/none");
    assert_eq!((missing.0, &missing.2["code"]), (404, &json!(5)));
    // A stream of the server comes line by line, before it ends.
    let (_, kind, lines) = ask(&gateway, &["--compressed"], "/v1/shelves/1/watch?pageSize=2");
    assert_eq!(kind, "application/x-ndjson");
    assert_eq!(lines, "{\"name\":\"shelves/1/books/0\"}\n{\"name\":\"shelves/1/books/1\"}\n");
    assert!(fields_of(&[], "/v1/shelves/1/watch?pageSize=1").contains("content-encoding: gzip\r\n"));
    // A call of gRPC on the same route: a book whose name is long.
    let name = [&[0x0a, 0xb0, 0x09][..], &b"n".repeat(1_200)].concat();
    let frame = [&[0, 0, 0, 4, 0xb3][..], &name].concat();
    fs::write(gateway.path("frame"), &frame).expect("a file");
    let data = format!("@{}", gateway.path("frame").display());
    let call = ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", &data];
    let fields = fields_of(&call, "/library.v1.Library/GetBook");
    assert!(fields.contains("grpc-status: 0"), "{fields}");
    assert!(!fields.contains("content-encoding") && !fields.contains("vary"), "{fields}");
    // What went to the client is counted, and not what it was made of.
    assert!(gateway.log(3)[0]["bytes_sent"].as_u64().is_some_and(|sent| sent < 1_000));
}

#[test]
fn paths_are_rewritten_first() {
    let library = Library::start();
    let gateway = library.gateway("", "path_prefix = \"/api\"\nrewrite = { strip_prefix = \"/api\" }");
    assert_eq!(answered(&gateway, &[], "/api/v1/books/x")["name"], "x");
}
