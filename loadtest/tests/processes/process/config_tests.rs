// SPDX-License-Identifier: Apache-2.0
//! `turnpike test`, as people and build servers run it: its output, its exit status, and that it opens no socket.

use std::fs;
use std::path::Path;

use crate::harness::gateway::binary;
use crate::harness::run;
use crate::harness::tool::Output;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

fn tested(tests: &str, more: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "[[listener]]\nbind = \"127.0.0.1:80\"\n[[route]]\nname = \"all\"\nanswer = { body = \"hello\" }\n";
    fs::write(folder.path().join("gateway.toml"), config).expect("written");
    let path = folder.path().join("tests.toml");
    fs::write(&path, format!("config = \"gateway.toml\"\n{tests}")).expect("written");
    let arguments = [&["test", path.to_str().expect("a path")], more].concat();
    (run(binary(), &arguments), folder)
}

const TWO: &str = "[[test]]\nname = \"good\"\nrequest = {}\nexpect = { body = \"hello\" }\n\
                   [[test]]\nname = \"bad\"\nrequest = {}\nexpect = { status = 404 }\n";

#[test]
fn the_examples_pass() {
    let files = ["api-gateway", "canary", "reverse-proxy", "shop"];
    let mut arguments = vec!["test".to_owned()];
    arguments.extend(files.map(|name| project().join(format!("config/tests/{name}.toml")).display().to_string()));
    let out = run(binary(), &arguments);
    assert_eq!(out.code, 0, "{}", out.all());
    assert!(out.text().contains("test result: ok. ") && !out.text().contains('\u{1b}'), "{}", out.text());
}

#[test]
fn a_difference_is_shown_and_is_exit_status_1() {
    let (out, _folder) = tested(TWO, &[]);
    assert_eq!(out.code, 1, "{}", out.all());
    for words in ["test good ... ok", "test bad ... FAILED", "tests.toml:7:8", "expected 404", "got      200"] {
        assert!(out.text().contains(words), "no `{words}` in\n{}", out.text());
    }
    assert!(out.text().contains("test result: FAILED. 1 passed; 1 failed; 0 filtered out"), "{}", out.text());
}

#[test]
fn a_filter_leaves_tests_out() {
    let (out, _folder) = tested(TWO, &["--filter", "goo"]);
    assert_eq!(out.code, 0, "{}", out.all());
    assert!(out.text().contains("1 passed; 0 failed; 1 filtered out"), "{}", out.text());
    let (out, _folder) = tested(TWO, &["--filter", "good and bad"]);
    assert_eq!(out.code, 2, "{}", out.all());
    assert!(out.all().contains("no test has `good and bad` in its name"), "{}", out.all());
}

#[test]
fn what_is_wrong_is_exit_status_2_and_nothing_runs() {
    let (out, _folder) = tested("[[test]]\nname = \"a\"\nrequest = {}\nexpect = { route = \"al\" }\n", &[]);
    assert_eq!(out.code, 2, "{}", out.all());
    let said = out.all();
    assert!(said.contains("tests.toml:5:20") && said.contains("did you mean `all`?"), "{said}");
    assert!(!said.contains("test result"), "{said}");
}

#[test]
fn machines_read_json_and_junit() {
    let (out, _folder) = tested(TWO, &["--output", "json"]);
    let document: serde_json::Value = serde_json::from_str(&out.text()).expect("one JSON document");
    assert_eq!((out.code, &document["passed"], &document["failed"]), (1, &1.into(), &1.into()));
    let difference = &document["tests"][1]["differences"][0];
    assert_eq!((&difference["what"], &difference["got"]), (&"status".into(), &"200".into()));
    let (out, _folder) = tested(TWO, &["--output", "junit"]);
    assert_eq!(out.code, 1);
    assert!(out.text().starts_with("<?xml ") && out.text().contains("tests=\"2\" failures=\"1\""), "{}", out.text());
}

#[test]
fn explain_says_what_policies_make_of_credentials() {
    let config = project().join("config/api-gateway.toml");
    let asked = |more: &[&str]| {
        let config = config.to_str().expect("a path");
        run(binary(), &[&["explain", "-c", config, "GET", "http://localhost:8080/v1/orders"], more].concat())
    };
    let out = asked(&["--consumer", "acme"]);
    for words in ["identity   acme, by api_key", "keys (api_key): continued", "limits", "response   200"] {
        assert!(out.text().contains(words), "no `{words}` in\n{}", out.all());
    }
    let out = asked(&[]);
    assert!(out.text().contains("keys (api_key): responded: api_key_missing"), "{}", out.all());
    assert!(out.text().contains("response   401, api_key_missing"), "{}", out.all());
    let secret = "acme-demo-key-0001";
    let out = asked(&["--key", secret]);
    assert!(out.text().contains("identity   acme") && !out.all().contains(secret), "{}", out.all());
    let out = asked(&["--key", "tools-demo-key-0001", "--time", "2031-01-01"]);
    assert!(out.text().contains("api_key_unknown"), "{}", out.all());
    assert_eq!(asked(&["--consumer", "nobody"]).code, 1);
}
