// SPDX-License-Identifier: Apache-2.0
//! What paths become, and that normalising is done once and for all.

use proptest::prelude::*;

use super::*;

fn with(rules: &PathRules, path: &str) -> Option<String> {
    let mut out = Vec::new();
    match normalise(path.as_bytes(), rules, &mut out) {
        Ok(Normalised::Unchanged) => Some(path.to_owned()),
        Ok(Normalised::Written) => Some(String::from_utf8(out).unwrap()),
        Err(kind) => {
            assert_eq!(kind, FaultKind::BadRequest);
            None
        }
    }
}

fn normal(path: &str) -> Option<String> {
    with(&PathRules::default(), path)
}

#[test]
fn paths_become() {
    let table = [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/%61dmin", "/admin"),
        ("/%7Euser/%41%2d%5f%2e", "/~user/A-_."),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/%2541", "/%2541"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%3fb%23c", "/a%3Fb%23c"),
        ("//a///b//", "/a/b/"),
        ("/a/./b/.", "/a/b/"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/../", "/a/"),
        ("/a/%2e%2e/b/%2E", "/b/"),
        ("/a//../b", "/b"),
        ("/...", "/..."),
        ("/.a/..b/c.", "/.a/..b/c."),
        ("/a;x=1/b", "/a;x=1/b"),
        ("/a\"<>^`{|}[]", "/a%22%3C%3E%5E%60%7B%7C%7D%5B%5D"),
        ("/.", "/"),
        ("//", "/"),
        ("//.", "/"),
    ];
    for (path, expected) in table {
        assert_eq!(normal(path).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn paths_refused() {
    let refused = [
        "",
        "a",
        "/..",
        "/../a",
        "/a/../..",
        "/a/../../b",
        "/%2e%2e/",
        "/.%2e",
        "//..",
        "/%",
        "/%4",
        "/%zz",
        "/%4g",
        "/%00",
        "/%0a",
        "/%0D",
        "/%7f",
        "/%1F",
        "/a b",
        "/a\0",
        "/a\tb",
        "/é",
        "/a\\b",
        "/a%5cb",
        "/..;/a",
        "/.;x",
        "/a/..;x=1/b",
        "/%2e%2e;/a",
        "/a?b",
        "/a#b",
    ];
    for path in refused {
        assert_eq!(normal(path), None, "{path:?}");
    }
}

#[test]
fn slashes_by_rule() {
    let decode = PathRules { encoded_slash: EncodedSlash::Decode, ..PathRules::default() };
    assert_eq!(with(&decode, "/a%2fb/%2Fc").as_deref(), Some("/a/b/c"));
    assert_eq!(with(&decode, "/a%252fb").as_deref(), Some("/a%252fb"));
    let reject = PathRules { encoded_slash: EncodedSlash::Reject, ..PathRules::default() };
    assert_eq!(with(&reject, "/a%2fb"), None);
    let keep = PathRules { slashes: Slashes::Keep, ..PathRules::default() };
    assert_eq!(with(&keep, "//a//b/").as_deref(), Some("//a//b/"));
    assert_eq!(with(&keep, "/a//../b").as_deref(), Some("/a/b"));
    assert_eq!(with(&keep, "/..//a"), None);
    let backslash = PathRules { backslash: Backslash::Slash, ..PathRules::default() };
    assert_eq!(with(&backslash, "/x\\..\\admin%5c").as_deref(), Some("/admin/"));
    let data = PathRules { backslash: Backslash::Keep, ..PathRules::default() };
    assert_eq!(with(&data, "/x\\.a%5cadmin").as_deref(), Some("/x%5C.a%5Cadmin"));
}

/// Whoever decodes such a path once more, or takes a backslash for a slash, sees another path.
#[test]
fn dots_beside_encoded_separators_are_refused_in_every_mode() {
    for encoded_slash in [EncodedSlash::Keep, EncodedSlash::Decode, EncodedSlash::Reject] {
        for backslash in [Backslash::Keep, Backslash::Slash, Backslash::Reject] {
            let rules = PathRules { encoded_slash, backslash, ..PathRules::default() };
            for path in [
                "/a/..%2Fb",
                "/a%2f../b",
                "/a%2F..",
                "/%2e%2e%2fb",
                "/a/..%5Cb",
                "/a%5c../b",
                "/a%5C%2e%2E",
                "/a/.%2Fb",
                "/a/..;x%2Fb",
                "/a%2F..;x/b",
            ] {
                assert_eq!(with(&rules, path), None, "{path} {rules:?}");
            }
        }
    }
    let data = PathRules { backslash: Backslash::Keep, ..PathRules::default() };
    assert_eq!(with(&data, "/a\\..\\b"), None);
    assert_eq!(normal("/a/...%2Fb").as_deref(), Some("/a/...%2Fb"));
    assert_eq!(normal("/a.%2Fb..").as_deref(), Some("/a.%2Fb.."));
}

#[test]
fn repeated_slashes_go_on_where_they_change_nothing_else() {
    let kept = |path: &str| {
        let merged = normal(path)?;
        let mut out = Vec::new();
        let kept = with_slashes(path.as_bytes(), &PathRules::default(), merged.as_bytes(), &mut out);
        Some(if kept { String::from_utf8(out).unwrap() } else { merged })
    };
    for (path, forwarded) in [
        ("/thumb/http://x/%7ey", "/thumb/http://x/~y"),
        ("//a///b//", "//a///b//"),
        ("/a//./b", "/a//b"),
        ("/a//../b", "/b"),
        ("/a/../..//b", ""),
    ] {
        assert_eq!(kept(path).unwrap_or_default(), forwarded, "{path}");
    }
}

#[test]
fn nothing_is_written_for_normal_paths() {
    let mut out = b"before".to_vec();
    assert_eq!(normalise(b"/a/b.html", &PathRules::default(), &mut out), Ok(Normalised::Unchanged));
    assert!(out.is_empty());
    assert_eq!(normalise(b"/a%20b", &PathRules::default(), &mut out), Ok(Normalised::Unchanged));
    assert!(out.is_empty());
}

#[test]
fn forms_are_decoded() {
    let found: Vec<_> = parameters(b"a=1&&b&c=d=e&=f").collect();
    let expected: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"b", b""), (b"c", b"d=e"), (b"", b"f")];
    assert_eq!(found, expected);
    let mut out = Vec::new();
    form_decode(b"%C3%a9+%4%2B", &mut out);
    assert_eq!(out, "é %4+".as_bytes());
}

fn rules() -> impl Strategy<Value = PathRules> {
    let slashes = prop_oneof![Just(EncodedSlash::Keep), Just(EncodedSlash::Decode), Just(EncodedSlash::Reject)];
    let backslashes = prop_oneof![Just(Backslash::Reject), Just(Backslash::Keep), Just(Backslash::Slash)];
    let repeated = prop_oneof![Just(Slashes::Match), Just(Slashes::Merge), Just(Slashes::Keep)];
    let semicolons = prop_oneof![Just(Semicolon::Keep), Just(Semicolon::Reject)];
    let parts = (repeated, slashes, backslashes, semicolons);
    parts.prop_map(|(slashes, encoded_slash, backslash, semicolon)| PathRules {
        slashes,
        encoded_slash,
        backslash,
        semicolon,
    })
}

proptest! {
    #[test]
    fn once_is_enough(path in "/([a-c./%;\\\\]|%2[ef]|%5c|%6[1-3]){0,20}", rules in rules()) {
        if let Some(once) = with(&rules, &path) {
            prop_assert_eq!(with(&rules, &once), Some(once));
        }
    }

    #[test]
    fn no_path_panics(path: Vec<u8>, rules in rules()) {
        crate::wire::check::path(&path, &rules);
    }
}

#[test]
fn semicolons_are_data_or_refused() {
    let strict = PathRules { semicolon: Semicolon::Reject, ..PathRules::default() };
    for path in ["/a;b", "/a%3Bb", "/a%3bb", "/;", "/a/..;/b"] {
        assert!(normalise(path.as_bytes(), &strict, &mut Vec::new()).is_err(), "{path}");
    }
    assert_eq!(normalise(b"/a;b", &PathRules::default(), &mut Vec::new()), Ok(Normalised::Unchanged));
    assert_eq!(normalise(b"/a,b", &strict, &mut Vec::new()), Ok(Normalised::Unchanged));
}
