use super::*;

/// What `draft` says of a text, without the blank line at the end.
fn said(text: &str) -> String {
    let mut faults = Faults::default();
    let source = Source::Text { name: "bad.toml".to_owned(), text: text.to_owned() };
    let draft = draft(&source, &Environment::sealed(), &mut faults);
    faults.into_reports(draft.files).plain().trim_end().to_owned()
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
"#;
    let mut faults = Faults::default();
    let source = Source::Text { name: "bad.toml".to_owned(), text: text.to_owned() };
    draft(&source, &Environment::sealed(), &mut faults);
    assert_eq!(faults.errors(), 25);
}

#[test]
fn a_report_has_place_caret_and_proposal() {
    let expected = r#"
error: unknown key `conections_max`
 --> bad.toml:2:1
  |
2 | conections_max = 5
  | ^^^^^^^^^^^^^^ did you mean `connections_max`?
  |
  = help: allowed here: `shards`, `pin`, `drain_timeout`, `connections_max`, `watch`, `control_socket`

error: expected a duration such as "250ms", "30s" or "1h30m"
 --> bad.toml:3:17
  |
3 | drain_timeout = "30"
  |                 ^^^^ the unit is missing: one of `ms`, `s`, `m`, `h`, `d`"#;
    assert_eq!(said("[server]\nconections_max = 5\ndrain_timeout = \"30\""), expected.trim_start());
}
