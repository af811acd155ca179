// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.basic]`.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::compile::fields::Head;
use crate::config::compile::policy::context::Context;
use crate::config::compile::{Compiler, Section};
use crate::config::location::{Located, Location};
use crate::config::report::Report;
use crate::config::spec::policy::basic::{CharsetSpec, Spec};
use crate::policy::api_key::Credential;
use crate::policy::basic::{Charset, Plan, Stored, User, Users};
use crate::policy::password::PasswordHash;
use crate::policy::tell::ConsumerFields;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let location = spec.location;
    let spec = &spec.value;
    compiler.realm(&spec.realm);
    let mut found = Found { users: Vec::new(), seen: HashMap::new(), weak: 0 };
    for (name, hash) in spec.users.iter() {
        found.add(compiler, Entry { name: &name.value, hash: &hash.value.0, line: None }, hash.location);
    }
    for file in spec.file.iter() {
        read(compiler, file, &mut found);
    }
    if found.weak > 0 {
        let title = format!("{} of the passwords are hashed with MD5 or SHA-1, which are guessed quickly", found.weak);
        compiler.faults.push(Report::warning(location, title).help("`htpasswd -nB NAME` makes a good hash"));
    }
    let alone = spec.users.0.is_empty() && spec.file.is_empty();
    for name in spec.consumers.iter().chain(&spec.anonymous) {
        compiler.stored_or(name, Section::Consumer);
    }
    let consumers: BTreeSet<Box<str>> = spec.consumers.iter().map(|name| name.value.as_str().into()).collect();
    let user_field = match &spec.user_header {
        Some(name) if compiler.field_name(name, Head::Request) => Some(name.value.as_bytes().into()),
        Some(_) | None => None,
    };
    let (charset, suffix) = match spec.charset {
        CharsetSpec::Utf8 => (Charset::Utf8, ", charset=\"UTF-8\""),
        CharsetSpec::Any => (Charset::Any, ""),
    };
    Some(Plan {
        users: Users::new(found.users),
        stored: if spec.credentials.unwrap_or(alone) { Stored::Known } else { Stored::Ignored },
        consumers: (!consumers.is_empty()).then(|| consumers.into_iter().collect()),
        charset,
        credential: if spec.hide { Credential::Removed } else { Credential::Kept },
        consumer_fields: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
        user_field,
        anonymous: spec.anonymous.as_ref().map(|name| name.value.as_str().into()),
        challenge: format!("Basic realm=\"{}\"{suffix}", spec.realm.value).into_bytes().into(),
        keep: spec.cache.as_ref().map_or(KEEP, |time| time.0),
        timeout: spec.timeout.as_ref().map_or(TIMEOUT, |time| time.0),
    })
}

/// Reads a file as `htpasswd` writes it: `NAME:HASH` on each line; `#` begins a comment.
fn read(compiler: &mut Compiler<'_>, file: &Located<PathBuf>, found: &mut Found) {
    let full = compiler.beside(file);
    let text = match compiler.environment.read(&full, FILE_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return compiler.error(file.location, format!("`{}` is not UTF-8", full.display())),
        Err(fault) => return compiler.error(file.location, format!("cannot read `{}`: {fault}", full.display())),
    };
    compiler.watched.push(full);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, hash)) = line.split_once(':') else {
            compiler.error(file.location, format!("line {number} of the file is not `NAME:HASH`"));
            continue;
        };
        // nginx allows a comment behind a second colon.
        let hash = hash.split_once(':').map_or(hash, |(hash, _)| hash);
        found.add(compiler, Entry { name, hash, line: Some(number) }, file.location);
    }
}

/// A user as it is written.
struct Entry<'e> {
    name: &'e str,
    hash: &'e str,
    /// The line, in a file of its own.
    line: Option<usize>,
}

/// The users so far.
struct Found {
    users: Vec<User>,
    seen: HashMap<String, Location>,
    /// How many hashes are weak.
    weak: usize,
}

impl Found {
    fn add(&mut self, compiler: &mut Compiler<'_>, entry: Entry<'_>, location: Location) {
        let Entry { name, hash, line } = entry;
        let place = line.map_or_else(String::new, |line| format!("line {line} of the file: "));
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
            let title = format!("{place}a user's name is not empty and has no colon and no control characters");
            return compiler.error(location, title);
        }
        let hash = match PasswordHash::parse(hash) {
            Ok(hash) => hash,
            Err(reason) => {
                let title = format!("{place}the hash of `{name}` is not known");
                return compiler.faults.push(Report::error(location, title).help(reason));
            }
        };
        if let Some(first) = self.seen.insert(name.to_owned(), location) {
            let report = Report::error(location, format!("{place}a second user is named `{name}`"));
            return compiler.faults.push(report.other(first, "the first one is here"));
        }
        self.weak += usize::from(hash.method().is_weak());
        self.users.push(User { name: name.into(), hash: Arc::new(hash) });
    }
}

/// Largest file of passwords.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a verdict is remembered by default.
const KEEP: Duration = Duration::from_secs(300);
/// The longest wait by default.
const TIMEOUT: Duration = Duration::from_secs(5);
