// SPDX-License-Identifier: Apache-2.0
//! Whole configurations: the reports of wrong ones and the plans of valid ones.

use std::fmt::Write;
use std::path::Path;

use super::*;
use crate::base::limits::POLICIES_MAX;
use crate::policy::Policy;
use crate::policy::token::{ClaimPath, ConsumerBy, Unknown};
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
        let loaded =
            load(&ConfigSource::File(copy), &Environment::of_process(crate::base::Wall(1_750_000_000_000_000)));
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
    let loaded =
        load(&ConfigSource::File(file.clone()), &Environment::of_process(crate::base::Wall(1_750_000_000_000_000)))
            .unwrap();
    assert!(loaded.files.materials.contains(&directory.path().join("certs/example.com.key")));
    assert!(loaded.plan.listeners[0].tls.is_some());
    for (key, words) in [
        ("wildcard.example.org.key", "does not match"),
        ("none.key", "cannot read"),
        ("example.com.pem", "no private key"),
    ] {
        std::fs::write(&file, text(key)).unwrap();
        let reports =
            load(&ConfigSource::File(file.clone()), &Environment::of_process(crate::base::Wall(1_750_000_000_000_000)))
                .unwrap_err();
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
fn limits_of_the_process_are_divided_but_for_caps_that_shards_share() {
    let text = "[server]\nshards = 4\nconnections_max = 10\n[upstream.a]\nendpoints = '10.0.0.1'\n\
                limits = { requests = 10, queue = 10, connections = 1 }\npool = { idle = 6 }\n\
                [[route]]\nto = 'a'\n[[listener]]\nbind = ':80'";
    let source = ConfigSource::Text { name: "c.toml".to_owned(), text: text.to_owned() };
    let plan = load(&source, &Environment::sealed()).unwrap().plan;
    let caps = &plan.upstreams[0].cluster.caps;
    assert_eq!((plan.process.shards, plan.process.connections_max), (4, 2));
    assert_eq!((caps.requests, caps.pending, caps.endpoint_connections), (10, 3, 1));
    assert_eq!(plan.upstreams[0].idle_max, Some(2));
}

#[test]
fn a_token_finds_whoever_has_a_credential_for_its_subject_where_nothing_is_said() {
    for (said, claim, unknown) in [
        ("", "sub", Unknown::Passes),
        ("consumer = {}", "sub", Unknown::Refused),
        ("consumer = { claim = \"azp\", optional = true }", "azp", Unknown::Passes),
    ] {
        let text = format!(
            "[[listener]]\nbind = \"127.0.0.1:1\"\n[policy.tokens.jwt]\naudience = \"a\"\n{said}\n\
             issuer = {{ name = \"https://i.test\" }}\n[[route]]\necho = true\npolicies = \"tokens\"\n"
        );
        let source = ConfigSource::Text { name: "t.toml".to_owned(), text };
        let loaded = load(&source, &Environment::sealed()).unwrap_or_else(|reports| panic!("{}", reports.plain()));
        let Policy::Jwt(plan) = &loaded.plan.policies[0].policy else { panic!("another kind") };
        let rule = plan.consumer.as_ref().expect("a rule");
        assert_eq!((&rule.claim, rule.by, rule.unknown), (&ClaimPath::new(claim), ConsumerBy::Credential, unknown));
    }
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

#[test]
fn no_report_shows_what_came_from_outside() {
    let wrong = [
        ("balance = '${X}'", "raund_robin"),
        ("endpoints = '${X}'", "http://user:s3cretpw@host:x/"),
        ("endpoints = ['10.0.0.1:${X}']", "70007"),
        ("limits = { requests = '${X}' }", "12qq34"),
        ("timeouts = { connect = '${X}' }", "77777"),
        ("tls = { ca = '${X}' }", "/no/such/authority.pem"),
        ("tls = { server_name = '${X}' }", "not a name!"),
        ("health = { path = '${X}' }", "no-slash-path"),
        ("balance = { hash = '${X}' }", "heder:x-tenant"),
    ];
    for (key, value) in wrong {
        let endpoints = if key.starts_with("endpoints") { "" } else { "endpoints = '10.0.0.1:1'\n" };
        let text = format!("[[listener]]\nbind = '127.0.0.1:1'\n[[route]]\nto = 'u'\n[upstream.u]\n{endpoints}{key}\n");
        shows_nothing_of(value, &text);
    }
    let route = [
        ("path = '${X}'", "/a/{un closed"),
        ("path_regex = '${X}'", "/very(secret"),
        ("hosts = '${X}'", "very_secret:host"),
        ("methods = '${X}'", "gettt secret"),
        ("policies = '${X}'", "no-such-policy"),
        ("listeners = '${X}'", "no-such-listener"),
        ("to = 'http://a:1'\nhost = '${X}'", "{no-such-variable}.example"),
        ("response_headers = { set = { a = '${X}' } }", "Bearer {no-such-variable}"),
        ("redirect = { scheme = '${X}', host = 'a' }", "gopherss"),
    ];
    for (key, value) in route {
        let acts = key.starts_with("redirect") || key.starts_with("to");
        let action = if acts { "" } else { "echo = true\n" };
        shows_nothing_of(value, &format!("[[listener]]\nbind = '127.0.0.1:1'\n[[route]]\n{action}{key}\n"));
    }
}

/// No report has four bytes of the value side by side.
fn shows_nothing_of(value: &str, text: &str) {
    let mut environment = Environment::sealed();
    environment.variables.insert("X".to_owned(), value.to_owned());
    let source = ConfigSource::Text { name: "t".to_owned(), text: text.to_owned() };
    let reports = load(&source, &environment).map(|loaded| loaded.plan.routes.len()).expect_err(text);
    let lines = |report: &Report| [vec![report.title.clone(), report.label.clone()], report.help.clone()].concat();
    let said: Vec<String> = reports.list.iter().flat_map(lines).collect();
    let said = said.into_iter().filter(|line| !line.starts_with("allowed here: ")).collect::<Vec<_>>().join("\n");
    let quoted: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    let shown = quoted.iter().find(|quoted| quoted.len() > 3 && value.contains(**quoted));
    assert!(shown.is_none() && !said.contains(value) && !said.contains("secret"), "{said}");
}

#[test]
fn a_limit_on_open_files_that_leaves_few_clients_is_said() {
    let warned = |limit: u64, server: &str| {
        let mut environment = Environment::sealed();
        environment.descriptors = Some(limit);
        let text =
            format!("[server]\nshards = 1\n{server}\n[[listener]]\nbind = '127.0.0.1:1'\n[[route]]\necho = true\n");
        let warnings = load(&ConfigSource::Text { name: "t".to_owned(), text }, &environment).unwrap().warnings;
        warnings.list.into_iter().map(|report| report.title).collect::<Vec<_>>().join("\n")
    };
    let limit = "limit on open files is 100 (hard limit of RLIMIT_NOFILE)";
    assert_eq!(warned(100, ""), format!("the {limit}: 26 client connections fit"));
    let written = format!("`connections_max` is 40, but the {limit}: 26 client connections fit");
    assert_eq!(warned(100, "connections_max = 40"), written);
    assert_eq!(warned(100, "connections_max = 20"), "");
    assert_eq!(warned(1_024, ""), "");
}

#[test]
fn policies_that_can_be_got_around_are_said() {
    let text = |paths: &str, wide: &str| {
        format!(
            "[[listener]]\nbind = '127.0.0.1:1'\n{paths}\n[policy.p]\nnetwork = {{ allow = '10.0.0.0/8' }}\n\
             [[route]]\nname = 'admin'\npath_prefix = '/admin'\npolicies = 'p'\nto = 'http://a:1'\n\
             [[route]]\nname = 'wide'\n{wide}\n"
        )
    };
    let warned = |text: &str| {
        let source = ConfigSource::Text { name: "t".to_owned(), text: text.to_owned() };
        let warnings = load(&source, &Environment::sealed()).unwrap().warnings;
        warnings.list.into_iter().map(|report| report.title + ": " + &report.label).collect::<Vec<_>>().join("\n")
    };
    let spelling = "policy `p` of route `admin` can be got around by another spelling of the path: \
                    `GET /admin;x` goes to the same upstream without it";
    assert_eq!(warned(&text("", "to = 'http://a:1'")), spelling);
    assert_eq!(warned(&text("paths = 'strict'", "to = 'http://a:1'")), "");
    assert_eq!(warned(&text("", "to = 'http://b:1'")), "");
    assert_eq!(warned(&text("", "to = 'http://a:1'\npolicies = 'p'")), "");
    let method = text("paths = 'strict'", "to = 'http://a:1'").replace("policies =", "methods = 'POST'\npolicies =");
    let by_method = "policy `p` of route `admin` can be got around by another method: \
                     `GET /admin` goes to the same upstream without it";
    assert_eq!(warned(&method), by_method);
    let exact = text("paths = 'strict'", "to = 'http://a:1'").replace("path_prefix =", "path =");
    assert!(warned(&exact).contains("by a slash at the end of the path: `GET /admin/` goes"), "{}", warned(&exact));
}

#[test]
fn habits_of_other_products_are_answered() {
    for (text, title, label) in [
        (
            "[[route]]\necho = true\npath = '/api/*'",
            "`*` is a character like others here",
            "write `path_prefix = \"/api\"`",
        ),
        ("[[route]]\necho = true\npath = '/u/:id'", "`:id` is a text like others here", "write `{id}`"),
        ("[[route]]\necho = true\nhosts = '_'", "`_` is no host", "a route without `hosts` takes every host"),
        ("[[route]]\nanswer = { body = '$host' }", "`$host` is a text like others here", "write `{host}`"),
        (
            "[[route]]\nto = 'http://a:1'\nrequest_headers = { set = { a = '{status}' } }",
            "a request has no status and no response headers yet: such a variable is empty",
            "use it in `response_headers`",
        ),
        ("[[route]]\nto = 'h2c://a:1'", "`h2c://` is no scheme here", "http:// or https://"),
        (
            "[admin]\nbind = '0.0.0.0:80'\n[[route]]\necho = true",
            "the admin listener and a listener have the same port",
            "",
        ),
        (
            "[[route]]\necho = true\nroot = '/srv'",
            "unknown key `root`",
            "it serves no files: forward to a file server with `to`",
        ),
        ("[stream]\n[[route]]\necho = true", "unknown key `stream`", "it forwards HTTP only, no bare TCP or UDP"),
    ] {
        let whole = format!("{text}\n[[listener]]\nbind = '127.0.0.1:80'\n");
        let reports = check_text(&whole).expect(text);
        let found: Vec<(&str, &str)> = reports.list.iter().map(|report| (&*report.title, &*report.label)).collect();
        assert_eq!(found, [(title, label)], "{text}");
    }
}

#[test]
fn one_syntax_fault_is_one_report() {
    for text in [
        "[[route]]\npath = '/x\necho = true\n[[listener]]\nbind = '127.0.0.1:80'\n",
        "[[route]\necho = true\n[[listener]]\nbind = '127.0.0.1:80'\n",
        "[[route]]\nanswer = { body = \"x\"\n[[listener]]\nbind = '127.0.0.1:80'\n",
    ] {
        let reports = check_text(text).expect(text);
        assert_eq!((reports.errors(), reports.warnings()), (1, 0), "{reports}");
    }
}

#[test]
fn reports_are_a_document_for_programs() {
    let reports = check_text("[[route]]\necho = 5\n[[listener]]\nbind = '127.0.0.1:80'\n").unwrap();
    let json: serde_json::Value = serde_json::from_str(&reports.json("a.toml")).unwrap();
    let expected = serde_json::json!({
        "ok": false, "file": "a.toml", "errors": 1, "warnings": 0,
        "reports": [{
            "severity": "error", "title": "expected true or false, found a number", "label": "", "help": [],
            "at": { "file": "text", "line": 2, "column": 8 }, "other": null,
        }],
    });
    assert_eq!(json, expected);
}
