// SPDX-License-Identifier: Apache-2.0
//! The command line: `check`, `explain`, `run --to`, and what stands beside them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use loadtest::socket::Reserved;

use crate::harness::certificates::Authority;
use crate::harness::gateway::{binary, signal};
use crate::harness::tool::{Output, reserved, run_with};
use crate::harness::{Client, Gateway, Origin, run, wait_for};

fn turnpike(arguments: &[&str]) -> Output {
    run(binary(), arguments)
}

fn checked(text: &str) -> (Output, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.toml");
    fs::write(&path, text).expect("written");
    (turnpike(&["check", path.to_str().expect("a path")]), path, folder)
}

#[test]
fn check_is_silent_about_nothing_wrong() {
    let (out, ..) = checked("[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\necho = true\n");
    assert_eq!(out.code, 0, "{}", out.all());
}

#[test]
fn check_shows_every_fault_with_its_place() {
    let (out, path, _folder) = checked(
        "[[listener]]\nbind = \"127.0.0.1:99999\"\n\n[upstream.api]\nendpoint = [\"127.0.0.1:1\"]\n\n\
         [[route]]\npath = \"/x/{id\"\nto = \"apu\"\ntimeouts = { total = \"5 parsecs\" }\n",
    );
    assert_eq!(out.code, 1);
    let said = out.all();
    let file = path.file_name().expect("a name").to_string_lossy().into_owned();
    for place in [":2:", ":5:", ":8:", ":9:", ":10:"] {
        assert!(said.contains(&format!("{file}{place}")), "no fault at {place} in\n{said}");
    }
    assert!(said.contains('^'), "no caret in\n{said}");
    assert!(said.contains("did you mean") && said.contains("endpoints") && said.contains("`api`"), "{said}");
    assert!(!said.contains('\u{1b}'), "colours without a terminal");
}

#[test]
fn check_refuses_what_is_not_toml_or_not_there() {
    let (out, ..) = checked("[[listener\nbind = 1");
    assert_eq!(out.code, 1);
    assert!(out.all().contains("t.toml:1:"), "{}", out.all());
    let out = turnpike(&["check", "/nonexistent/t.toml"]);
    assert_eq!(out.code, 1);
    assert!(out.all().contains("/nonexistent/t.toml"), "{}", out.all());
}

#[test]
fn check_tells_of_routes_that_nothing_reaches() {
    let (out, ..) = checked(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nname = \"one\"\npath = \"/a\"\necho = true\n\
         [[route]]\nname = \"two\"\npath = \"/a\"\necho = true\n",
    );
    assert!(out.all().contains("two") && out.all().contains("one"), "{}", out.all());
}

#[test]
fn the_examples_are_right() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let folder = tempfile::tempdir().expect("a folder");
    certificates_of_the_example(&folder.path().join("certs"));
    // What `config/grpc.toml` names.
    crate::grpc::json::describe(&folder.path().join("api.pb"));
    let mut count = 0;
    for entry in fs::read_dir(project.join("config")).expect("examples") {
        let path = entry.expect("an example").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.ends_with(".toml") {
            continue;
        }
        let mut text = fs::read_to_string(&path).expect("an example");
        if name == "full.toml" {
            // It is a list of keys, with nothing active.
            text.push_str("\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\necho = true\n");
        }
        let copy = folder.path().join(&name);
        fs::write(&copy, text).expect("written");
        let out = turnpike(&["check", copy.to_str().expect("a path")]);
        assert_eq!(out.code, 0, "{name}: {}", out.all());
        count += 1;
    }
    assert!(count > 5);
}

/// The files that `config/tls.toml` names, which are not part of the project.
fn certificates_of_the_example(folder: &Path) {
    fs::create_dir(folder).expect("a folder");
    let authority = Authority::new("example");
    authority.sign(&["example.com"]).write(folder, "example.com");
    authority.sign(&["*.example.org"]).write(folder, "wildcard.example.org");
    for name in ["partners-ca.pem", "internal-ca.pem"] {
        fs::write(folder.join(name), &authority.pem).expect("written");
    }
}

#[test]
fn explain_says_what_would_happen_and_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.toml");
    fs::write(
        &path,
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\n[upstream.users]\nendpoints = \"127.0.0.1:1\"\n\
         [policy.keys]\napi_key = {}\n[[consumer]]\nname = \"c\"\nkeys = { key = \"k-0123456789abcdef\" }\n\
         [[route]]\nname = \"one-user\"\npath = \"/users/{id}\"\n\
         methods = [\"GET\"]\nto = \"users\"\npolicies = [\"keys\"]\n\
         [[route]]\nname = \"canary\"\npath = \"/users/{id}\"\nheaders = { x-env = \"canary\" }\nto = \"users\"\n",
    )
    .expect("written");
    let file = path.to_str().expect("a path");
    let out = turnpike(&["explain", "-c", file, "GET", "http://any.example/users/7"]);
    assert_eq!(out.code, 0, "{}", out.all());
    let said = out.text();
    for word in ["web", "one-user", "keys", "users", "canary", "x-env"] {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
    let canary = turnpike(&["explain", "-c", file, "GET", "/users/7", "-H", "X-Env: canary"]).text();
    assert!(canary.contains("canary"), "{canary}");
    let refused = turnpike(&["explain", "-c", file, "DELETE", "/users/7"]).all();
    assert!(refused.contains("405") || refused.contains("method"), "{refused}");
    let nothing = turnpike(&["explain", "-c", file, "GET", "/nothing"]).all();
    assert!(nothing.contains("404") || nothing.contains("no route"), "{nothing}");
}

#[test]
fn version_completions_and_manual() {
    assert!(turnpike(&["version"]).text().contains("turnpike"));
    assert!(turnpike(&["--version"]).text().contains("turnpike"));
    assert!(turnpike(&["completions", "bash"]).text().contains("explain"));
    assert!(turnpike(&["man"]).text().contains(".TH"));
    let wrong = turnpike(&["rum"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("run"), "{}", wrong.stderr);
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        signal(self.0.id(), "KILL");
        let _ = self.0.wait();
    }
}

fn started(arguments: &[&str]) -> Running {
    let mut command = Command::new(binary());
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().expect("it starts"))
}

#[test]
fn one_line_makes_a_proxy() {
    let (origin, other) = (Origin::saying("a"), Origin::saying("b"));
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log").to_str().expect("a path").to_owned();
    let socket = folder.path().join("socket").to_str().expect("a path").to_owned();
    let kept = [reserved(), reserved(), reserved()];
    let [here, there, admin] = kept.each_ref().map(Reserved::address);
    let _running = started(&[
        "run",
        "--to",
        &origin.url(),
        "--to",
        &other.url(),
        "--listen",
        &here.to_string(),
        "--listen",
        &there.to_string(),
        "--shards",
        "1",
        "--admin",
        &admin.to_string(),
        "--access-log",
        &log,
        "--control-socket",
        &socket,
    ]);
    wait_for("it to serve", || Client::try_to(here).ok());
    let mut answers: Vec<String> = (0..4).map(|_| Client::to(here).get("/x").text()).collect();
    answers.sort();
    assert_eq!(answers, ["a", "a", "b", "b"]);
    assert_eq!(Client::to(there).get("/y").status, 200);
    assert!(
        Client::to(admin)
            .ask(format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n"))
            .text()
            .contains("turnpike_requests_total")
    );
    wait_for("the log", || fs::read_to_string(&log).ok().filter(|text| text.lines().count() == 5));
    let status = turnpike(&["status", "--control-socket", &socket]);
    assert!(status.code == 0 && status.text().contains("5 in all"), "{}", status.all());
    let stopped = turnpike(&["stop", "--wait", "--control-socket", &socket]);
    assert_eq!(stopped.code, 0, "{}", stopped.all());
    assert!(Client::try_to(here).is_err());
}

/// Without a socket in either file, both processes have theirs in the user's folder.
#[test]
fn a_file_names_the_process_that_runs_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = format!("XDG_RUNTIME_DIR={}", folder.path().display());
    let file = |name: &str| {
        let path = folder.path().join(name);
        let text = "[server]\nshards = 1\npin = false\n[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\necho = true\n";
        fs::write(&path, text).expect("written");
        path
    };
    let (files, third) = ([file("one.toml"), file("two.toml")], file("three.toml"));
    let ask = |command: &str, file: &Path| {
        run("env", &[OsStr::new(&runtime), binary().as_os_str(), command.as_ref(), "-c".as_ref(), file.as_os_str()])
    };
    let _running = files.each_ref().map(|file| {
        let mut command = Command::new(binary());
        let (key, value) = runtime.split_once('=').expect("a variable");
        // A relative path: it means what it meant to the process.
        command.current_dir(folder.path()).env(key, value).args(["run", "-c"]).arg(file.file_name().expect("a name"));
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    });
    for file in &files {
        wait_for("it to serve", || (ask("status", file).code == 0).then_some(()));
    }
    let loaded = |file: &Path| {
        let text = ask("status", file).text();
        let at = text.find(" taken into use").expect("a count");
        text[..at].rsplit(' ').next().expect("a number").to_owned()
    };
    assert_eq!(ask("reload", &files[1]).code, 0);
    assert_eq!([loaded(&files[0]), loaded(&files[1])], ["1", "2"]);
    let none = ask("reload", &third);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("no running turnpike of this user with"), "{}", none.stderr);
    // Where the file has become wrong, its process is found all the same, and says what is wrong.
    fs::write(&files[0], "shards = [").expect("written");
    let refused = ask("reload", &files[0]);
    assert!(refused.code == 1 && refused.stderr.contains("one.toml:1:"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("--control-socket"), "{}", refused.stderr);
    assert_eq!([loaded(&files[0]), loaded(&files[1])], ["1", "2"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let out = turnpike(&["run", "--to", "http://127.0.0.1:1", "--listen", &address]);
    assert_eq!(out.code, 1, "{}", out.all());
    assert!(out.all().contains(&address), "{}", out.all());
}

#[test]
fn the_quickstart_does_what_it_says() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let text = fs::read_to_string(project.join("config/quickstart.toml")).expect("the example");
    let routes = &text[text.find("[[route]]").expect("routes")..];
    let gateway = Gateway::web(routes);
    let mut client = gateway.client();
    assert_eq!(client.get("/anything?x=1").json()["query"], "x=1");
    let hello = client.get("/hello/world");
    assert_eq!((hello.text(), hello.field("x-greeting")), ("Hello, world! You are 127.0.0.1.\n".into(), "hello world"));
    assert!(client.get("/old/page?x=1").field("location").ends_with("/new/page?x=1"));
    assert_eq!(client.get("/teapot").status, 418);
    let statuses: Vec<u16> = (0..8).map(|_| client.get("/limited").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 5, "{statuses:?}");
    assert_eq!(statuses[7], 429);
}

#[test]
fn check_reads_standard_input_and_writes_json() {
    let good = "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\necho = true\n";
    let out = run_with(binary(), &["check", "-"], good.as_bytes());
    assert_eq!((out.code, out.all().contains("ok: standard input: 1 listener")), (0, true), "{}", out.all());
    let out = run_with(binary(), &["check", "--json", "-"], b"[[route]\necho = true\n");
    let json: serde_json::Value = serde_json::from_str(out.all().trim()).expect("a document");
    assert_eq!((out.code, &json["ok"], &json["errors"]), (1, &false.into(), &1.into()), "{json}");
    assert_eq!(json["reports"][0]["at"]["line"], 1);
    let (_, path, _folder) = checked(good);
    assert_eq!(turnpike(&["check", "-c", path.to_str().expect("a path")]).code, 0);
    // What follows from a file that cannot be read is not told.
    let missing = turnpike(&["check", "/nonexistent.toml"]);
    assert_eq!((missing.code, missing.stderr.matches("error: ").count()), (1, 1), "{}", missing.stderr);
    assert!(missing.stderr.contains("cannot read `/nonexistent.toml`"), "{}", missing.stderr);
}
