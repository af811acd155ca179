// SPDX-License-Identifier: Apache-2.0
//! Includes, variables and secret files, on real directories.

use super::*;

fn gathered(directory: &Path, text: &str) -> (Sources, Faults) {
    let main = directory.join("main.toml");
    std::fs::write(&main, text).unwrap();
    let mut faults = Faults::default();
    let mut environment = Environment::of_process(crate::base::Wall(1_750_000_000_000_000));
    environment.variables = [("PORT".to_owned(), "8080".to_owned())].into();
    let sources = gather(&ConfigSource::File(main), &environment, None, &mut faults);
    (sources, faults)
}

fn text_of<'n>(root: &'n Node, key: &str) -> &'n str {
    match &root.child(key).unwrap().kind {
        NodeKind::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn wildcards_fit_as_in_a_shell() {
    for (pattern, name, fits) in [
        ("*.toml", "a.toml", true),
        ("*.toml", "a.tom", false),
        ("a?c*", "abcdef", true),
        ("*", "", true),
        ("?", "", false),
    ] {
        assert_eq!(wildcard(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
    }
}

#[test]
fn variables_files_and_defaults_are_filled_in() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret"), "hunter2\n").unwrap();
    let text = "a = \"x${PORT}y\"\nb = \"${NONE:-z}\"\nc = \"${file:secret}\"\nd = \"$${PORT} ${1}\"\n";
    let (sources, faults) = gathered(directory.path(), text);
    assert_eq!(faults.errors(), 0, "{faults:?}");
    let texts = ["a", "b", "c", "d"].map(|key| text_of(&sources.root, key));
    assert_eq!(texts, ["x8080y", "z", "hunter2", "${PORT} ${1}"]);
    assert!(sources.watched.materials.contains(&directory.path().join("secret")));
}

#[test]
fn what_is_missing_is_reported_and_secrets_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (sources, mut faults) =
        gathered(directory.path(), "a = \"${NONE}\"\nb = \"${file:no}\"\nc = \"p${PORT}\"\nd = \"${\"");
    assert_eq!(faults.errors(), 3);
    let location = sources.root.child("c").unwrap().location;
    faults.push(Report::error(location, "`p8080` is no size").help("8080"));
    let reports = faults.into_reports(sources.files);
    assert!(!reports.plain().contains("8080"), "{}", reports.plain());
    assert!(reports.plain().contains("`(hidden)` is no size"), "{}", reports.plain());
}

#[test]
fn a_default_that_the_file_has_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let (sources, mut faults) = gathered(directory.path(), "a = \"${NONE:-plain}\"");
    faults.push(Report::error(sources.root.child("a").unwrap().location, "`plain` is no size"));
    assert!(faults.into_reports(sources.files).plain().contains("`plain` is no size"));
}

#[test]
fn includes_are_relative_sorted_and_not_circular() {
    let directory = tempfile::tempdir().unwrap();
    let more = directory.path().join("conf.d");
    std::fs::create_dir(&more).unwrap();
    std::fs::write(more.join("b.toml"), "[[route]]\nn = 2").unwrap();
    std::fs::write(more.join("a.toml"), "include = [\"*.toml\"]\n[[route]]\nn = 1").unwrap();
    let (sources, faults) = gathered(directory.path(), "include = [\"conf.d/a.toml\"]\n[[route]]\nn = 0");
    assert_eq!(faults.errors(), 0, "{faults:?}");
    let NodeKind::Array(routes) = &sources.root.child("route").unwrap().kind else { panic!("a list") };
    assert_eq!(routes.len(), 3);
    let (_, faults) = gathered(directory.path(), "include = [\"main.toml\", 5, \"missing.toml\"]");
    assert_eq!(faults.errors(), 3, "{faults:?}");
}

#[test]
fn kept_texts_are_not_read_again_and_secrets_are() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(place(name), text).unwrap();
    write("secret", "one");
    write("a.inc", "a = \"${file:secret}\"");
    let (before, faults) = gathered(directory.path(), "include = [\"*.inc\"]\nb = \"b\"\n");
    assert_eq!(faults.errors(), 0, "{faults:?}");
    write("secret", "two");
    write("b.inc", "half a fi");
    std::fs::remove_file(place("a.inc")).unwrap();
    write("main.toml", "half a fi");
    let mut faults = Faults::default();
    let source = ConfigSource::File(place("main.toml"));
    let after = gather(
        &source,
        &Environment::of_process(crate::base::Wall(1_750_000_000_000_000)),
        Some(&before.texts),
        &mut faults,
    );
    assert_eq!(faults.errors(), 0, "{faults:?}");
    assert_eq!((text_of(&after.root, "a"), text_of(&after.root, "b")), ("two", "b"));
    assert_eq!(after.texts, before.texts);
}
