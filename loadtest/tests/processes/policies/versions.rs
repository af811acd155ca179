// SPDX-License-Identifier: Apache-2.0
//! Routes that say which version of an API they serve.

use crate::harness::gateway::binary;
use crate::harness::{Gateway, Origin, Setup, run, wait_for};

fn gateway(origin: &Origin) -> Gateway {
    let to = origin.url();
    let text = format!(
        "[store]\npath = \"{{dir}}/turnpike.db\"\n[usage]\n[policy.maps.api_version]\ntell = \"x-version\"\n\
         [policy.maps.api_version.versions.v1]\naliases = \"1\"\ndeprecated = \"2026-06-01\"\n\
         sunset = \"2027-06-01\"\nsuccessor_link = \"https://api.example.com/v2\"\n\
         [policy.maps.api_version.versions.v2]\n\
         [[route]]\npath_prefix = \"/one\"\npolicies = \"maps\"\nversion = \"1\"\nto = \"{to}\"\n\
         [[route]]\npath_prefix = \"/two\"\npolicies = \"maps\"\nversion = \"v2\"\nto = \"{to}\"\n\
         [[route]]\npath_prefix = \"/beta\"\nversion = \"beta\"\nto = \"{to}\"\n"
    );
    Setup::web(text).start()
}

#[test]
fn a_route_says_its_version_to_clients_the_upstream_the_log_and_usage() {
    let origin = Origin::saying("map");
    let gateway = gateway(&origin);
    let (mut logged, mut told) = (Vec::new(), Vec::new());
    for path in ["/one", "/two", "/beta"] {
        let response = gateway.get(path);
        assert_eq!(response.status, 200);
        told.push(origin.last().field("x-version").to_owned());
        logged.push(response.field("deprecation").to_owned());
        if path == "/one" {
            assert_eq!(response.field("sunset"), "Tue, 01 Jun 2027 00:00:00 GMT");
            assert_eq!(response.field("link"), "<https://api.example.com/v2>; rel=\"successor-version\"");
        }
    }
    assert_eq!(logged, ["@1780272000", "", ""]);
    assert_eq!(told, ["v1", "v2", ""]);
    let lines = gateway.log(3);
    assert_eq!(lines.iter().map(|line| &line["version"]).collect::<Vec<_>>(), ["v1", "v2", "beta"]);
    let config = gateway.config_path().display().to_string();
    let usage = || run(binary(), &["usage", "--by", "version", "--output", "csv", "-c", &config]).text();
    wait_for("the usage", || {
        let text = usage();
        ["v1,1,", "v2,1,", "beta,1,"].iter().all(|row| text.contains(row)).then_some(())
    });
    let page = gateway.metrics();
    assert!(page.contains("version=\"beta\"") && page.contains("version=\"v1\""), "{page}");
}

#[test]
fn a_version_that_nobody_can_name_or_that_is_not_known_is_refused_by_check() {
    let gateway = Gateway::web("[[route]]\nanswer = { body = \"in\" }\n");
    let path = gateway.path("wrong.toml");
    let check = |route: &str| {
        let text = format!(
            "[[listener]]\nbind = \"127.0.0.1:0\"\n[policy.maps.api_version.versions.v1]\n\
             [[route]]\npolicies = \"maps\"\nanswer = {{ body = \"in\" }}\n{route}\n"
        );
        std::fs::write(&path, text).expect("a file");
        let checked = run(binary(), &["check", "-c", path.to_str().expect("a path")]);
        (checked.code, checked.all())
    };
    assert_eq!(check("version = \"v1\"").0, 0);
    let (code, said) = check("version = \"v3\"");
    assert!(code != 0 && said.contains("the policy `maps` has no version `v3`"), "{said}");
    let (code, said) = check("");
    assert!(code != 0 && said.contains("the route says no `version`"), "{said}");
}
