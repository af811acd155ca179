// SPDX-License-Identifier: Apache-2.0
//! Files that others read: the man page, units, alert rules, configurations of packages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::gateway::binary;
use crate::harness::{Gateway, Origin, run, wait_for};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Is this program on the machine? Where it is not, the test says that it was skipped.
fn is_there(program: &str) -> bool {
    let found = run("sh", &["-c", &format!("command -v {program}")]).code == 0;
    if !found {
        println!("SKIPPED: {program} is not there");
    }
    found
}

#[test]
fn the_man_page_is_shown_without_a_warning() {
    if !is_there("groff") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("turnpike.1");
    fs::write(&page, run(binary(), &["man"]).stdout).expect("written");
    let file = page.to_str().expect("a path");
    let shown = run("groff", &["-man", "-Tutf8", "-P-c", "-P-b", "-P-u", "-ww", file]);
    assert!(shown.code == 0 && shown.stderr.is_empty(), "{}", shown.stderr);
    for section in
        ["NAME", "SYNOPSIS", "SIGNALS", "EXIT STATUS", "ENVIRONMENT", "FILES", "SYSTEMD", "METRICS", "ALERTS"]
    {
        assert!(shown.text().contains(section), "{section}");
    }
}

#[test]
fn systemd_understands_the_units() {
    if !is_there("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = binary();
    let mut line = vec!["verify".to_owned(), "--man=no".to_owned()];
    for name in ["turnpike.service", "turnpike.socket"] {
        let text = fs::read_to_string(project().join("config/systemd").join(name)).expect("a unit");
        let path = folder.path().join(name);
        fs::write(&path, text.replace("/usr/bin/turnpike", program.to_str().expect("a path"))).expect("written");
        line.push(path.display().to_string());
    }
    let out = run("systemd-analyze", &line);
    assert!(out.code == 0 && out.all().is_empty(), "{}", out.all());
}

#[test]
fn the_units_run_the_program_as_it_is() {
    let text = fs::read_to_string(project().join("config/systemd/turnpike.service")).expect("a unit");
    for (key, command) in [("ExecStart=", "run"), ("ExecReload=", "reload")] {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).expect(key);
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[..2], ["/usr/bin/turnpike", command]);
        let out = run(binary(), &[&words[1..], &["--help"]].concat());
        assert_eq!(out.code, 0, "{line}: {}", out.all());
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(out.text().contains(flag), "{flag} in {line}");
        }
    }
}

#[test]
fn prometheus_understands_the_rules() {
    let rules = project().join("config/prometheus/turnpike.rules.yml").display().to_string();
    if is_there("promtool") {
        let out = run("promtool", &["check", "rules", &rules]);
        assert_eq!(out.code, 0, "{}", out.all());
    }
    let read = "import sys, yaml; print(sum(len(g['rules']) for g in yaml.safe_load(open(sys.argv[1]))['groups']))";
    if run("/usr/bin/python3", &["-c", "import yaml"]).code != 0 {
        println!("SKIPPED: Python has no package yaml");
        return;
    }
    let out = run("/usr/bin/python3", &["-c", read, &rules]);
    let count = fs::read_to_string(&rules).expect("rules").matches("- alert: ").count();
    assert_eq!(out.text().trim(), count.to_string(), "{}", out.all());
}

#[test]
fn what_rules_and_dashboard_name_is_exposed() {
    let origin = Origin::echo();
    let gateway = Gateway::web(format!(
        "[upstream.o]\nendpoints = \"{}\"\nbreaker = {{}}\n[[route]]\nname = \"all\"\nto = \"o\"\n",
        origin.address
    ));
    assert_eq!(gateway.get("/").status, 200);
    let exposed = |page: &str| -> BTreeSet<String> {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())).collect()
    };
    let mut named = BTreeSet::new();
    for file in ["config/prometheus/turnpike.rules.yml", "config/grafana/turnpike.json"] {
        let text = fs::read_to_string(project().join(file)).expect("a file");
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let metrics = words.filter(|word| word.starts_with("turnpike_") || word.starts_with("process_"));
        named.extend(metrics.map(str::to_owned));
    }
    assert!(named.len() > 30);
    let missing = || named.difference(&exposed(&gateway.metrics())).cloned().collect::<Vec<_>>();
    // Shards report what they know of endpoints from time to time.
    wait_for(&format!("{:?}", missing()), || missing().is_empty().then_some(()));
}

#[test]
fn configurations_of_packages_are_right() {
    for name in ["config/debian/turnpike.toml", "config/container/turnpike.toml"] {
        let out = run(binary(), &["check", project().join(name).to_str().expect("a path")]);
        assert_eq!(out.code, 0, "{name}: {}", out.all());
        assert!(out.text().contains("0 warnings"), "{name}: {}", out.all());
    }
}

#[test]
fn logrotate_understands_its_file() {
    if !is_there("logrotate") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (state, copy) = (folder.path().join("state"), folder.path().join("turnpike"));
    fs::copy(project().join("config/logrotate/turnpike"), &copy).expect("copied");
    let arguments = ["--debug", "--state", state.to_str().expect("a path"), copy.to_str().expect("a path")];
    let out = run("logrotate", &arguments);
    assert!(out.code == 0 && !out.all().contains("error:"), "{}", out.all());
}
