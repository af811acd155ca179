// SPDX-License-Identifier: Apache-2.0
//! Descriptors for JSON by server reflection, told by grpcio-reflection.

use serde_json::{Value, json};

use crate::grpc::calls::{Server, WEB2, call};
use crate::grpc::json::{Library, ask};
use crate::harness::certificates::Authority;
use crate::harness::tool::reserved;
use crate::harness::{Gateway, Setup, curl, wait_for};

/// A configuration with one route to `port`, with `options` for JSON.
fn text(port: u16, options: &str, upstream: &str) -> String {
    format!(
        "{WEB2}\n[upstream.library]\nendpoints = \"127.0.0.1:{port}\"\nhttp = \"2\"\n{upstream}\n[[route]]\n\
         to = \"library\"\ngrpc = {{ json = {{ {options} }} }}\n"
    )
}

const BOOK: &str = "/v1/shelves/1/books/2";

/// The answer to `target`, once it has this status.
fn until(gateway: &Gateway, target: &str, wanted: u16) -> Value {
    wait_for("the status", || {
        let out = curl(&["-w", "\n%{http_code}", &gateway.url(target)]);
        let text = out.text();
        let (body, status) = text.rsplit_once('\n').expect("a last line");
        (status == wanted.to_string()).then(|| serde_json::from_str(body).expect("JSON"))
    })
}

#[test]
fn servers_tell_their_methods_before_the_first_request() {
    for version in ["reflection=v1", "reflection=v1alpha"] {
        let library = Library::with(&[version]);
        let gateway = Setup::new(text(library.port, "reflection = true", "")).shards(2).start();
        for _ in 0..4 {
            let (status, _, book) = ask(&gateway, &[], BOOK);
            assert_eq!((status, &book["name"]), (200, &json!("shelves/1/books/2")), "{version}: {book}");
        }
        assert_eq!(ask(&gateway, &[], "/v2/shelves/1/books/2").0, 404);
        let posted = r#"{"pageTitle": "Über", "pages": 12}"#;
        let (_, _, made) = ask(&gateway, &["-d", posted], "/v1/shelves/3/books");
        assert_eq!(made, json!({"name": "shelves/3/books/Über", "pages": "12"}));
    }
}

#[test]
fn a_faulty_rule_leaves_the_others() {
    let library = Library::with(&["reflection=v1", "faulty"]);
    let mut gateway = Setup::new(text(library.port, "reflection = true", "")).shards(2).start();
    assert_eq!(ask(&gateway, &[], BOOK).0, 200);
    let said = gateway.said();
    assert!(said.contains("library.v1.Library.Plain: rule `/v1/{name}.json`"), "{said}");
    // Shards that begin with a reload compile them, too.
    gateway.rewrite(text(library.port, "reflection = true, names = \"proto\"", ""));
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(until(&gateway, "/v1/shelves/1/books/2?fullText=true", 200)["page_title"], "full");
}

#[test]
fn only_named_services_are_asked_for() {
    let library = Library::with(&["reflection=v1"]);
    let named = "reflection = true, services = [\"library.v1.Library\"]";
    let gateway = Setup::new(text(library.port, named, "")).start();
    assert_eq!(ask(&gateway, &[], BOOK).0, 200);
    let other = "reflection = true, services = [\"library.v1.Nothing\"]";
    let gateway = Setup::new(text(library.port, other, "")).start();
    assert_eq!(ask(&gateway, &[], BOOK).0, 503);
    assert!(gateway.said().contains("library.v1.Nothing"), "{}", gateway.said());
}

#[test]
fn a_server_that_comes_late_is_asked_again() {
    let reserved = reserved();
    let port = reserved.address().port();
    let gateway = Setup::new(text(port, "reflection = true", "")).start();
    let (status, kind, body) = ask(&gateway, &[], BOOK);
    assert_eq!((status, kind.as_str(), &body["code"]), (503, "application/json", &json!(14)), "{body}");
    assert!(body["message"].as_str().is_some_and(|words| words.contains("reflection")), "{body}");
    let head = curl(&["-I", &gateway.url(BOOK)]).text().to_ascii_lowercase();
    assert!(head.contains("retry-after: 1\r\n"), "{head}");
    assert_eq!(gateway.log(1)[0]["reason"], "no_descriptors");
    assert!(gateway.said().contains("JSON requests get 503"), "{}", gateway.said());
    let _library = Library::with(&["reflection=v1", &format!("port={port}")]);
    assert_eq!(until(&gateway, BOOK, 200)["name"], "shelves/1/books/2");
}

#[test]
fn the_log_says_why_nothing_is_known() {
    let library = Library::with(&[]);
    let gateway = Setup::new(text(library.port, "reflection = true", "")).start();
    assert_eq!(ask(&gateway, &[], BOOK).0, 503);
    assert!(gateway.said().contains("the server has no reflection service"), "{}", gateway.said());
}

#[test]
fn calls_go_on_where_nothing_is_known() {
    let server = Server::start(&[]);
    let gateway = Setup::new(text(server.port, "reflection = true", "")).start();
    call(&gateway, &["unary_calls"]);
    assert_eq!(ask(&gateway, &[], BOOK).0, 503);
    let reason = "no method of the descriptor set has a `google.api.http` rule";
    assert!(gateway.said().contains(reason), "{}", gateway.said());
}

#[test]
fn what_changes_is_taken_up() {
    let reserved = reserved();
    let port = reserved.address().port();
    let placed = format!("port={port}");
    let library = Library::with(&["reflection=v1", &placed]);
    let gateway = Setup::new(text(port, "reflection = { refresh = \"200ms\" }", "")).shards(2).start();
    assert_eq!(ask(&gateway, &[], BOOK).0, 200);
    drop(library);
    let _library = Library::with(&["reflection=v1alpha", "version=v2", &placed]);
    assert_eq!(until(&gateway, "/v2/shelves/1/books/2", 200)["name"], "shelves/1/books/2");
    until(&gateway, BOOK, 404);
}

#[test]
fn a_reload_forgets_nothing() {
    let reserved = reserved();
    let port = reserved.address().port();
    let placed = format!("port={port}");
    let library = Library::with(&["reflection=v1", &placed]);
    let mut gateway = Setup::new(text(port, "reflection = true", "")).shards(2).start();
    assert_eq!(ask(&gateway, &[], BOOK).0, 200);
    drop(library);
    for names in ["json", "proto"] {
        gateway.rewrite(text(port, &format!("reflection = true, names = \"{names}\""), ""));
        assert_eq!(gateway.reload().0, 200);
        let (status, _, body) = ask(&gateway, &[], "/v1/nothing");
        assert_eq!((status, &body["code"]), (404, &json!(5)), "{names}: {body}");
    }
    let _library = Library::with(&[&placed]);
    assert_eq!(until(&gateway, "/v1/shelves/1/books/2?fullText=true", 200)["page_title"], "full");
}

#[test]
fn servers_are_found_by_name() {
    let library = Library::with(&["reflection=v1"]);
    let named = text(library.port, "reflection = true", "").replace("127.0.0.1:", "localhost:");
    let gateway = Setup::new(named.replace("bind = \"localhost:", "bind = \"127.0.0.1:")).start();
    assert_eq!(ask(&gateway, &[], BOOK).0, 200);
}

#[test]
fn servers_are_asked_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("origins");
    authority.sign(&["127.0.0.1"]).write(folder.path(), "origin");
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).expect("written");
    let file = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let pair = [format!("key={}", file("origin.key")), format!("certificate={}", file("origin.pem"))];
    let library = Library::with(&["reflection=v1", &pair[0], &pair[1]]);
    let tls = format!("tls = {{ ca = \"{}\" }}", file("ca.pem"));
    let gateway = Setup::new(text(library.port, "reflection = true", &tls)).start();
    assert_eq!(ask(&gateway, &[], BOOK).0, 200);
}
