// SPDX-License-Identifier: Apache-2.0
//! Words that may stand in some files only, or in none: the machine, unfinished work, and what hot files do not do.

use super::source::{Finding, Source};
use super::token::{Token, tokens};

/// A phrase of code, and the paths (by their start) where it may stand.
struct Bound {
    phrase: &'static str,
    files: &'static [&'static str],
    instead: &'static str,
}

const MACHINE: &[&str] = &["src/net/uring", "src/net/machine", "src/control/", "src/command/"];
const KERNEL: &[&str] = &["src/net/uring", "src/net/machine", "src/base/marks/sse2.rs"];
const PLANES: &[&str] = &["src/control/", "src/command/"];

/// Where the machine may be touched. Each phrase is matched token by token, strings and comments do not count.
const BOUNDS: [Bound; 11] = [
    Bound { phrase: "monoio", files: &["src/net/uring"], instead: "use the seam `net::Net`" },
    Bound { phrase: "tokio", files: PLANES, instead: "only the control plane runs on tokio" },
    Bound { phrase: "Instant::now", files: MACHINE, instead: "take a `Tick` as an argument" },
    Bound { phrase: "SystemTime::now", files: MACHINE, instead: "take a `Wall` as an argument" },
    Bound { phrase: "Mutex", files: PLANES, instead: "keep the state on its shard, or send a message over `link`" },
    Bound { phrase: "RwLock", files: PLANES, instead: "keep the state on its shard, or send a message over `link`" },
    Bound { phrase: "thread::sleep", files: PLANES, instead: "wait through `Net::sleep_until`" },
    Bound { phrase: "ToSocketAddrs", files: PLANES, instead: "names are resolved by the control plane" },
    Bound { phrase: "to_socket_addrs", files: PLANES, instead: "names are resolved by the control plane" },
    Bound { phrase: "unsafe", files: KERNEL, instead: "find the safe way" },
    Bound {
        phrase: "std::net::TcpStream",
        files: &["src/net/", "src/control/", "src/command/"],
        instead: "use the seam `net::Net`",
    },
];

/// What stands in no file at all, tests included.
const NOWHERE: [(&str, &str); 4] = [
    ("#[ignore", "a test that does not run proves nothing: fix it or delete it"),
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("dbg!", "remove it"),
];

/// What files on the path of a request do not do outside of their tests.
const COLD: [(&str, &str); 9] = [
    ("format!", "write into the caller's buffer"),
    ("println!", "count it, or put it into the access record"),
    ("to_string()", "keep a span or write into the caller's buffer"),
    ("to_owned()", "keep a span or write into the caller's buffer"),
    ("to_vec()", "keep a span or take a buffer of the shard's pool"),
    ("String::from(", "keep a span or write into the caller's buffer"),
    ("Box::new", "keep it in the connection's own memory"),
    ("Box<dyn", "use an enum or a type parameter"),
    ("Arc::clone", "take an id or borrow it"),
];

/// Identifiers that are no terms of the field, and the terms of the lexicon in `docs/style.md` that replaced them.
const RETIRED: [(&str, &str); 22] = [
    ("Scene", "Context"),
    ("scene", "context"),
    ("Work", "RequestState"),
    ("Way", "Destination"),
    ("Door", "Acceptor"),
    ("door", "acceptor"),
    ("Lane", "StreamState"),
    ("lane", "stream"),
    ("Clerk", "ServerRole"),
    ("Courier", "ClientRole"),
    ("Far", "Http2Connection"),
    ("Talk", "WebSocketRelay"),
    ("Farewell", "CloseReason"),
    ("farewell", "close_reason"),
    ("Ear", "BellWaiter"),
    ("Ears", "EventSources"),
    ("ears", "events"),
    ("Mouth", "FrameWriter"),
    ("Deed", "Behaviour"),
    ("deed", "behaviour"),
    ("Book", "Ledger"),
    ("Placed", "Located"),
];

/// What breaks a rule of words in one file.
pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    for (phrase, instead) in NOWHERE {
        for line in places(&source.code, phrase) {
            findings.push(source.finding(line, "nowhere", format!("`{phrase}` may stand nowhere: {instead}")));
        }
    }
    if source.path.starts_with("src/") && !source.path.starts_with("src/tidy") {
        check_bounds(source, findings);
    }
    if source.is_hot() {
        check_hot(source, findings);
    }
    for (word, term) in RETIRED {
        for line in places(&source.code, word) {
            findings.push(source.finding(
                line,
                "lexicon",
                format!("`{word}` is retired: say `{term}` (docs/style.md)"),
            ));
        }
    }
    check_globs(source, findings);
}

fn check_bounds(source: &Source, findings: &mut Vec<Finding>) {
    for bound in BOUNDS {
        if bound.files.iter().any(|start| source.path.starts_with(start)) {
            continue;
        }
        for line in places(source.product(), bound.phrase) {
            let (phrase, files, instead) = (bound.phrase, bound.files, bound.instead);
            let what = format!("`{phrase}` may stand in {files:?} only: {instead}");
            findings.push(source.finding(line, "machine", what));
        }
    }
}

fn check_hot(source: &Source, findings: &mut Vec<Finding>) {
    let code = source.product();
    for (phrase, instead) in COLD {
        for line in places(code, phrase) {
            let what =
                format!("`{phrase}` in a hot file: {instead} (or say `// tidy(hot): ` and why it is not per request)");
            findings.push(source.finding(line, "hot", what));
        }
    }
    let shared = shared_names(code);
    for at in 0..code.len().saturating_sub(3) {
        let called = code[at + 1].is_mark('.') && code[at + 2].is_word("clone") && code[at + 3].is_mark('(');
        if let Some(name) = code[at].word().filter(|name| called && shared.contains(name)) {
            let what = format!("`{name}.clone()` clones an `Arc` or a `String` in a hot file: borrow it or take an id");
            findings.push(source.finding(code[at].line, "hot", what));
        }
    }
}

/// Names that the file declares as `name: Arc<…>`, `name: &Arc<…>`, `name: Option<Arc<…>>` or the same with `String`.
fn shared_names(code: &[Token]) -> Vec<&str> {
    let costly = |token: &Token| token.is_word("Arc") || token.is_word("String");
    let declared = |at: usize| {
        let mut kind = code[at + 2..].iter().skip_while(|token| token.is_mark('&') || token.is_word("mut"));
        let first = kind.next();
        let optional = first.is_some_and(|token| token.is_word("Option"));
        first.is_some_and(costly) || (optional && kind.nth(1).is_some_and(costly))
    };
    let starts = (0..code.len().saturating_sub(4)).filter(|at| code[at + 1].is_mark(':') && !code[at + 2].is_mark(':'));
    starts.filter(|at| declared(*at)).filter_map(|at| code[at].word()).collect()
}

fn check_globs(source: &Source, findings: &mut Vec<Finding>) {
    let mut in_use = false;
    for (at, token) in source.code.iter().enumerate() {
        if token.is_word("use") {
            // `use<'a>` in a type says what it captures and imports nothing.
            in_use = !source.code.get(at + 1).is_some_and(|next| next.is_mark('<'));
        } else if token.is_mark(';') {
            in_use = false;
        }
        let own = at >= 3 && ["super", "prelude"].iter().any(|word| source.code[at - 3].is_word(word));
        if in_use && token.is_mark('*') && !(own && source.is_test(token.line)) {
            let what = "an import of everything: name what is used (tests may say `use super::*` and take a prelude)";
            findings.push(source.finding(token.line, "globs", what));
        }
    }
}

/// Lines where the tokens of `phrase` stand in a row.
fn places(code: &[Token], phrase: &str) -> Vec<usize> {
    let wanted = tokens(phrase);
    let matches = |window: &&[Token]| window.iter().zip(&wanted).all(|(token, want)| token.kind == want.kind);
    code.windows(wanted.len()).filter(matches).map(|window| window[0].line).collect()
}

/// What no committed text may hold: a machine's own paths, and hosts of package registries. Written in two halves, so
/// that this table does not find itself.
const TEXTS: [(&str, &str); 9] = [
    (concat!("/ho", "me/"), "an absolute path of one machine"),
    (concat!("/ro", "ot/"), "an absolute path of one machine"),
    (concat!("/Us", "ers/"), "an absolute path of one machine"),
    (concat!("/wo", "rk/"), "an absolute path of one machine"),
    (concat!("static.crates", ".io"), "a registry's host: use its ordinary client"),
    (concat!("index.crates", ".io"), "a registry's host: use its ordinary client"),
    (concat!("registry.npmjs", ".org"), "a registry's host: use its ordinary client"),
    (concat!("files.python", "hosted.org"), "a registry's host: use its ordinary client"),
    (concat!("pypi", ".org/simple"), "a registry's host: use its ordinary client"),
];

/// What breaks a rule in any committed text.
pub(crate) fn check_text(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in text.lines().enumerate() {
        for (pattern, what) in TEXTS {
            let found = line.match_indices(pattern).any(|(at, _)| !pattern.starts_with('/') || starts_a_path(line, at));
            if found {
                let what = format!("`{pattern}` is {what}");
                findings.push(Finding { path: path.into(), line: number + 1, rule: "text", what });
            }
        }
    }
}

/// Does a path begin at `at`, rather than go on from a host name or from another folder?
fn starts_a_path(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    !before.is_some_and(|before| before.is_alphanumeric() || ".-_}$*".contains(before))
}
