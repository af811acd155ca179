// SPDX-License-Identifier: Apache-2.0
//! Whole configurations: the reports of wrong ones and the plans of valid ones.

use std::fmt::Write;
use std::path::Path;

use super::*;
use crate::base::limits::POLICIES_MAX;
use crate::wire::grpc::json::sample;

/// The reports of `load` for a text, to which a listener is appended.
fn said(text: &str) -> String {
    let text = format!("{text}\n[[listener]]\nbind = '127.0.0.1:80'\n");
    let source = ConfigSource::Text { name: "c.toml".to_owned(), text };
    match load(&source, &Environment::sealed()) {
        Ok(loaded) => loaded.warnings.plain(),
        Err(reports) => reports.plain(),
    }
}

/// `tests/bad.txt` holds wrong texts, each with the whole report that it must get.
#[test]
fn bad_texts_get_their_reports() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/bad.txt");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut made = String::new();
    let mut count = 0;
    for case in kept.split("====== text\n").skip(1) {
        let (text, _) = case.split_once("------ report\n").unwrap();
        let _ = write!(made, "====== text\n{text}------ report\n{}\n", said(text.trim_end()).trim_end());
        count += 1;
    }
    assert!(count > 40);
    if std::env::var("TURNPIKE_BLESS").is_ok_and(|value| value == "1") {
        return std::fs::write(&path, &made).unwrap();
    }
    let differing = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    assert!(kept == made, "line {differing:?} differs; run: TURNPIKE_BLESS=1 cargo test config::tests");
}

#[test]
fn one_pass_finds_every_fault() {
    let text = r#"
[server]
shards = "many"
pin = 3
drain_timeout = "30"
conections_max = 5
[log]
level = "warning"
access = { path = 1, formt = "json" }
[[listener]]
bind = ["0.0.0.0:80", "x", 5]
tls = { certificates = [ { cert = "a" , ky = 1 } ], min_version = "1.1" }
proxy_protocol = { }
[[listener]]
nme = "x"
[upstream.a]
endpoints = ["a:1", { address = "b", wight = 3, weight = 99999999 }]
balance = "roundrobin"
tls = "yes"
timeouts = { connect = 5 }
hash = { }
[[route]]
to = [ { upstrem = "a" } ]
headers = { x = { exact = 1 } }
echo = "yes"
rout = 1
methods = "get"
hosts = "a:1"
policies = "none"
retry = { tries = 99 }
"#;
    let source = ConfigSource::Text { name: "bad.toml".to_owned(), text: text.to_owned() };
    let reports = load(&source, &Environment::sealed()).unwrap_err();
    // 25 that the reader finds, and four that the compiler finds in the same route.
    assert_eq!(reports.errors(), 29, "{reports}");
}

#[test]
fn a_route_has_only_so_many_policies() {
    let with = |count: usize| {
        let mut text = String::new();
        for number in 0..count {
            let _ = writeln!(text, "[policy.p{number}]\nnetwork = {{ deny = '10.0.0.{number}' }}");
        }
        let names: Vec<String> = (0..count).map(|number| format!("'p{number}'")).collect();
        said(&format!("{text}[[route]]\necho = true\npolicies = [{}]", names.join(", ")))
    };
    assert_eq!(with(POLICIES_MAX), "");
    assert!(with(POLICIES_MAX + 1).contains("a route has at most 64 policies"));
}

#[test]
fn the_quickstart_and_all_examples_compile_without_a_word() {
    let directory = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    make_certificates(&directory.path().join("certs"));
    // What `config/grpc.toml` names.
    std::fs::write(directory.path().join("api.pb"), sample::descriptor_set()).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") || path.ends_with("full.toml") {
            continue;
        }
        let copy = directory.path().join(path.file_name().unwrap());
        std::fs::copy(&path, &copy).unwrap();
        let loaded = load(&ConfigSource::File(copy), &Environment::of_process());
        let loaded = loaded.unwrap_or_else(|reports| panic!("{reports}"));
        // Demonstration keys are short, and say so.
        let odd: Vec<_> = loaded.warnings.list.iter().filter(|report| !report.title.contains("key")).collect();
        assert!(odd.is_empty(), "{}", loaded.warnings);
        seen += 1;
    }
    assert!(seen >= 7);
    load(&ConfigSource::Quickstart, &Environment::sealed()).unwrap();
}

/// The files that `config/tls.toml` names.
fn make_certificates(directory: &Path) {
    std::fs::create_dir(directory).unwrap();
    for (file, name) in [("example.com", "example.com"), ("wildcard.example.org", "*.example.org")] {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(directory.join(format!("{file}.pem")), made.cert.pem()).unwrap();
        std::fs::write(directory.join(format!("{file}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    for authority in ["partners-ca.pem", "internal-ca.pem"] {
        let made = rcgen::generate_simple_self_signed(vec![authority.to_owned()]).unwrap();
        std::fs::write(directory.join(authority), made.cert.pem()).unwrap();
    }
}

#[test]
fn certificates_are_watched_and_wrong_ones_reported() {
    let directory = tempfile::tempdir().unwrap();
    make_certificates(&directory.path().join("certs"));
    let file = directory.path().join("t.toml");
    let text = |key: &str| {
        format!(
            "[[route]]\necho = true\n[[listener]]\nbind = '127.0.0.1:443'\n[listener.tls]\n\
             certificates = {{ cert = 'certs/example.com.pem', key = 'certs/{key}' }}"
        )
    };
    std::fs::write(&file, text("example.com.key")).unwrap();
    let loaded = load(&ConfigSource::File(file.clone()), &Environment::of_process()).unwrap();
    assert!(loaded.files.materials.contains(&directory.path().join("certs/example.com.key")));
    assert!(loaded.plan.listeners[0].tls.is_some());
    for (key, words) in [
        ("wildcard.example.org.key", "does not match"),
        ("none.key", "cannot read"),
        ("example.com.pem", "no private key"),
    ] {
        std::fs::write(&file, text(key)).unwrap();
        let reports = load(&ConfigSource::File(file.clone()), &Environment::of_process()).unwrap_err();
        assert_eq!(reports.errors(), 1);
        assert!(reports.plain().contains(words), "{reports}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let mut environment = Environment::sealed();
    environment.variables = [("SECRET".to_owned(), "hunter2-hunter2".to_owned())].into();
    let text =
        "[[consumer]]\nname = 'a'\nkeys = { key = '${SECRET}' }\n[[route]]\nto = '${SECRET}'\nhosts = '${SECRET}:1'";
    let source = ConfigSource::Text { name: "c.toml".to_owned(), text: text.to_owned() };
    let reports = load(&source, &environment).unwrap_err();
    assert!(reports.errors() >= 2 && !reports.plain().contains("hunter2"), "{reports}");
    let mut faults = Faults::default();
    let draft = Draft::read(&source, &environment, None, &mut faults);
    assert!(!format!("{:?}", draft.spec.consumer).contains("hunter2"));
}

#[test]
fn limits_of_the_process_are_divided() {
    let text = "[server]\nshards = 4\nconnections_max = 10\n[upstream.a]\nendpoints = '10.0.0.1'\n\
                limits = { requests = 10, queue = 10, connections = 1 }\npool = { idle = 6 }\n\
                [[route]]\nto = 'a'\n[[listener]]\nbind = ':80'";
    let source = ConfigSource::Text { name: "c.toml".to_owned(), text: text.to_owned() };
    let plan = load(&source, &Environment::sealed()).unwrap().plan;
    let caps = &plan.upstreams[0].cluster.caps;
    assert_eq!((plan.process.shards, plan.process.connections_max), (4, 2));
    assert_eq!((caps.requests, caps.pending, caps.endpoint_connections), (2, 3, 1));
    assert_eq!(plan.upstreams[0].idle_max, 2);
}

#[test]
fn layers_lie_over_each_other() {
    let text = "[defaults.timeouts]\nfirst_byte = '5s'\nhead = '1s'\nconnect = '9s'\n[defaults.limits]\nbody = '1KiB'\n\
                [upstream.a]\nendpoints = '10.0.0.1'\ntimeouts = { connect = '8s' }\n\
                [[route]]\nname = 'x'\npath = '/x'\nto = 'a'\ntimeouts = { first_byte = '7s' }\n\
                limits = { body = 'off' }\n\
                [[route]]\nname = 'y'\nto = 'http://10.0.0.2'\n[[listener]]\nbind = ':80'";
    let source = ConfigSource::Text { name: "c.toml".to_owned(), text: text.to_owned() };
    let plan = load(&source, &Environment::sealed()).unwrap().plan;
    let seconds = |route: usize| match &plan.routes[route].action {
        plan::Action::Proxy(proxy) => proxy.first_byte.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!((seconds(0), seconds(1), plan.listeners[0].timeouts.head.as_secs()), (7, 5, 1));
    assert_eq!((plan.routes[0].body_bytes_max, plan.routes[1].body_bytes_max), (u64::MAX, 1024));
    assert_eq!((plan.upstreams[0].connect.as_secs(), plan.upstreams[1].connect.as_secs()), (8, 9));
}

#[test]
fn fuzz_seeds_are_read_to_their_end() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/config");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        if let Some(reports) = check_text(&String::from_utf8_lossy(&text)) {
            assert!(!reports.plain().is_empty());
        }
        count += 1;
    }
    assert!(count > 0);
}

/// Words that make texts that are nearly right.
const WORDS: &[&str] = &[
    "[[route]]",
    "[[listener]]",
    "[upstream.a]",
    "[policy.p]",
    "[[consumer]]",
    "[server]",
    "[defaults.limits]",
    "\n",
    "\n",
    "\n",
    "to",
    "path",
    "bind",
    "endpoints",
    "name",
    "answer",
    "redirect",
    "rate_limit",
    "keys",
    "hosts",
    "rewrite",
    "host",
    " = ",
    " = ",
    "\"a\"",
    "'a'",
    "\"/x/{id}\"",
    "\":80\"",
    "\"5/s\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "true",
    "5",
    "-1",
    "1.5",
    "body",
    "rate",
    "\"${X:-y}\"",
    "\"{path}\"",
    "upstream",
    "'''",
    "\"",
    "#",
    "1979-05-27",
    "inf",
    "é",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    #[test]
    fn garbage_never_panics(text in ".{0,200}") {
        let _ = check_text(&text);
    }

    #[test]
    fn nearly_right_never_panics(choice in proptest::collection::vec(0..WORDS.len(), 0..60)) {
        let text: String = choice.into_iter().map(|index| WORDS[index]).collect();
        if let Some(reports) = check_text(&text) {
            let _ = reports.plain();
        }
    }

    #[test]
    fn a_cut_example_never_panics(at in 0_usize..4_000, len in 0_usize..40) {
        let text = include_str!("../../config/api-gateway.toml");
        let mut bytes = text.as_bytes().to_vec();
        let start = at.min(bytes.len());
        bytes.drain(start..(start + len).min(bytes.len()));
        if let Some(reports) = check_text(&String::from_utf8_lossy(&bytes)) {
            let _ = reports.plain();
        }
    }
}
