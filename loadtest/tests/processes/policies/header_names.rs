// SPDX-License-Identifier: Apache-2.0
//! Headers that a client sends twice, or in a spelling that an origin takes for another: nobody pretends to be somebody
//! else by them. Over HTTP/1.1 and HTTP/2.

use crate::harness::http2::WEB2;
use crate::harness::{Gateway, Origin, Setup, curl, run};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// The status that curl gets.
fn status(gateway: &Gateway, version: &str, headers: &[&str]) -> String {
    let url = gateway.url("/x?a=1");
    let mut arguments = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}", version, &*url];
    headers.iter().for_each(|header| arguments.extend(["-H", header]));
    curl(&arguments).text()
}

/// The fields that the origin got with names that end in `user`.
fn users(origin: &Origin) -> Vec<String> {
    let request = origin.last();
    let head = String::from_utf8_lossy(&request.head).to_ascii_lowercase();
    head.lines()
        .filter(|line| line.split(':').next().is_some_and(|name| name.ends_with("user")))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_required_header_must_match_in_each_of_its_lines() {
    let origin = Origin::saying("here");
    let gateway = Setup::new(format!(
        "{WEB2}[policy.keyed]\nrequire_header = {{ headers = {{ x-key = \"1\" }}, status = 428 }}\n\
         [[route]]\nto = \"{}\"\npolicies = \"keyed\"\n",
        origin.url()
    ))
    .start();
    for version in VERSIONS {
        assert_eq!(status(&gateway, version, &["X-Key: 1"]), "200");
        for lines in [["X-Key: 1", "X-Key: 2"], ["x-key: 2", "X-Key: 1"], ["X-Key: 1", "X-Key;"]] {
            assert_eq!(status(&gateway, version, &lines), "428", "{version} {lines:?}");
        }
    }
    assert_eq!(origin.count(), VERSIONS.len(), "the origin got what has one meaning");
}

#[test]
fn an_underscore_is_no_way_around_what_the_gateway_says_of_a_user() {
    let auth = Origin::answering(|_| b"HTTP/1.1 204 X\r\nX-User: real\r\n\r\n".to_vec());
    let origin = Origin::saying("here");
    for keep in ["", "underscores_in_headers = true\n"] {
        for (policy, expected) in [
            (
                format!("external_auth = {{ upstream = \"{}\", to_upstream = [\"x-user\"] }}", auth.url()),
                "x-user: real",
            ),
            ("headers = { request = { set = { x-user = \"set\" } } }".to_owned(), "x-user: set"),
            ("headers = { request = { remove = [\"x-user\"] } }".to_owned(), ""),
        ] {
            let gateway = Setup::new(format!(
                "{WEB2}{keep}[policy.user]\n{policy}\n[[route]]\nto = \"{}\"\npolicies = \"user\"\n",
                origin.url()
            ))
            .start();
            for version in VERSIONS {
                assert_eq!(status(&gateway, version, &["X_User: evil", "x-User: evil", "X_Other: 1"]), "200");
                assert_eq!(users(&origin).join(" "), expected, "{version} {keep} {policy}");
                let head = String::from_utf8_lossy(&origin.last().head).to_ascii_lowercase();
                assert_eq!(head.contains("x_other: 1"), !keep.is_empty(), "{version} {keep} {policy}");
            }
        }
    }
    assert_eq!(auth.count(), 2 * VERSIONS.len());
}

#[test]
fn what_only_policies_may_say_is_removed_where_they_are_not_asked() {
    let auth = Origin::saying("nobody asks");
    let origin = Origin::saying("here");
    // `geheim`
    let hash = run("openssl", &["passwd", "-5", "geheim"]).text();
    for keep in ["", "underscores_in_headers = true\n"] {
        let gateway = Setup::new(format!(
            "{WEB2}{keep}policies = \"early\"\n\
             [[consumer]]\nname = \"acme\"\nkeys = [{{ key = \"acme-demo-key-0001\" }}]\n\
             [policy.early]\nwhen = 'request.path == \"/other\"'\n\
             external_auth = {{ upstream = \"{auth}\", to_upstream = [\"x-early\"] }}\n\
             [policy.late]\nwhen = 'request.path == \"/other\"'\n\
             external_auth = {{ upstream = \"{auth}\", to_upstream = [\"x-role\", \"x-auth-*\"] }}\n\
             [policy.never]\nwhen = \"1 == 2\"\n\
             external_auth = {{ upstream = \"{auth}\", to_upstream = [\"x-never\"] }}\n\
             [policy.key.api_key]\nconsumer_fields = false\n\
             [policy.login.basic]\nusers = {{ anna = '{}' }}\nuser_header = \"x-user\"\n\
             [[route]]\nto = \"{}\"\npolicies = [\"late\", \"never\"]\n\
             authenticate = {{ any = [\"key\", \"login\"] }}\n\
             [[route]]\npath_exact = \"/free\"\nto = \"{1}\"\n",
            hash.trim(),
            origin.url(),
            auth = auth.url(),
        ))
        .start();
        let names = ["X-Consumer-Name", "x-consumer-id", "X-User", "X-Role", "X-Auth-Admin", "X-Never", "X-Early"];
        let lines: Vec<String> = names
            .into_iter()
            .flat_map(|name| [format!("{name}: forged"), format!("{}: forged", name.replace('-', "_"))])
            .chain(["X-API-Key: acme-demo-key-0001".to_owned(), "X-Other: forged no name".to_owned()])
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for version in VERSIONS {
            assert_eq!(status(&gateway, version, &lines), "200");
            let head = String::from_utf8_lossy(&origin.last().head).to_ascii_lowercase();
            assert_eq!(head.matches("forged").count(), 1, "{version} {keep}: {head}");
            assert!(head.contains("x-other: forged"), "{head}");
            let free = ["-s", "-o", "/dev/null", version, "-H", "X-User: own", "-H", "X-Early: forged"];
            curl(&[&free[..], &[&gateway.url("/free")]].concat());
            let head = String::from_utf8_lossy(&origin.last().head).to_ascii_lowercase();
            assert!(head.contains("x-user: own") && !head.contains("forged"), "the route has no such policy: {head}");
        }
    }
    assert_eq!(auth.count(), 0);
}

#[test]
fn the_limits_on_heads_hold_over_every_version() {
    let gateway = Setup::new(format!(
        "{WEB2}limits = {{ request_line = \"1KiB\", head = \"4KiB\", fields = 20 }}\n[[route]]\necho = true\n"
    ))
    .start();
    // curl adds three fields, and HTTP/2 counts 32 bytes more for each.
    let names: Vec<String> = (0..40).map(|number| format!("X-F{number}: 1")).collect();
    let many = |count: usize| names[..count].iter().map(String::as_str).collect::<Vec<_>>();
    let (fits, large) = (format!("X-A: {}", "a".repeat(3_000)), format!("X-A: {}", "a".repeat(4_100)));
    let cases: [(&str, usize, Vec<&str>, &str); 7] = [
        ("an ordinary request", 0, vec![], "200"),
        ("a line within its limit", 950, vec![], "200"),
        ("a line above it", 1_020, vec![], "414"),
        ("fields within their limit", 0, many(15), "200"),
        ("fields above it", 0, many(21), "431"),
        ("a head within its limit", 0, vec![&*fits], "200"),
        ("a head above it", 0, vec![&*large], "431"),
    ];
    for version in VERSIONS {
        for (what, path, headers, expected) in &cases {
            let url = gateway.url(&format!("/{}", "p".repeat(*path)));
            let mut arguments = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}", version, &*url];
            headers.iter().for_each(|header| arguments.extend(["-H", header]));
            assert_eq!(curl(&arguments).text(), *expected, "{what}, {version}");
        }
    }
    // A call of gRPC has the same limits.
    let url = gateway.url(&format!("/{}", "p".repeat(1_020)));
    let call = [
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        VERSIONS[1],
        "-H",
        "Content-Type: application/grpc",
        "-H",
        "TE: trailers",
        "-X",
        "POST",
        &*url,
    ];
    assert_eq!(curl(&call).text(), "414");
}
