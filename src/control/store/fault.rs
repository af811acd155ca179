// SPDX-License-Identifier: Apache-2.0
//! Why the store did not do what it was asked to.

use std::fmt;

/// Why the store did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// There is no `[store]`.
    None,
    /// The file was written by a newer version of the program.
    Newer {
        /// The version of its tables.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The file is a database of another program.
    Foreign,
    /// The file is damaged, or no database.
    Damaged(String),
    /// The file cannot be read or written now: the disk is full, or its permissions are wrong.
    Unavailable(String),
    /// Too much waits for the disk.
    Busy,
    /// There is no such object.
    Missing,
    /// There is such an object already.
    Exists,
    /// The object has another revision than was expected.
    Changed {
        /// Its revision.
        found: u64,
    },
    /// Something names the object: `consumer acme`.
    InUse(String),
    /// What is written names an object that does not exist.
    NoReference {
        /// What it would be: `plan`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The credential is over, and this says why.
    Ended(&'static str),
    /// The configuration declares the object, so it is changed there.
    Declared,
    /// What was given is wrong.
    Invalid(String),
    /// The same idempotency key came with another request.
    KeyReused,
}

impl StoreFault {
    /// Is the file at fault, and not what was asked?
    pub(crate) fn is_of_file(&self) -> bool {
        match self {
            StoreFault::Newer { .. } | StoreFault::Foreign | StoreFault::Damaged(_) | StoreFault::Unavailable(_) => {
                true
            }
            StoreFault::None
            | StoreFault::Busy
            | StoreFault::Missing
            | StoreFault::Exists
            | StoreFault::Changed { .. }
            | StoreFault::InUse(_)
            | StoreFault::NoReference { .. }
            | StoreFault::Ended(_)
            | StoreFault::Declared
            | StoreFault::Invalid(_)
            | StoreFault::KeyReused => false,
        }
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreFault::None => out.write_str("there is no `[store]` in the configuration"),
            StoreFault::Newer { found, known } => {
                write!(out, "its tables have version {found}, and this program knows versions up to {known}")
            }
            StoreFault::Foreign => out.write_str("it is a database of another program"),
            StoreFault::Damaged(words) => write!(out, "it is damaged: {words}"),
            StoreFault::Unavailable(words) => write!(out, "it cannot be read or written: {words}"),
            StoreFault::Busy => out.write_str("too much waits for the disk"),
            StoreFault::Missing => out.write_str("there is no such object"),
            StoreFault::Exists => out.write_str("there is such an object already"),
            StoreFault::Changed { found } => write!(out, "the object has revision {found} now"),
            StoreFault::InUse(by) => write!(out, "{by} names it"),
            StoreFault::NoReference { kind, name } => write!(out, "no {kind} is named `{name}`"),
            StoreFault::Ended(why) => out.write_str(why),
            StoreFault::Declared => out.write_str("the configuration declares it"),
            StoreFault::Invalid(words) => out.write_str(words),
            StoreFault::KeyReused => out.write_str("the same idempotency key came with another request"),
        }
    }
}
