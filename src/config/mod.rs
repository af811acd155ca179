//! Configuration: from what a person wrote (`Spec`) to what a shard runs (`Plan`).
//!
//! `source` reads files and fills in variables, `tree` parses TOML with places, `read` makes a `Spec` of it, `compile` a
//! `Plan`. Nothing stops at the first fault: all of them come back as one `Reports`.

pub mod place;
pub mod reference;
pub mod report;
pub mod source;
pub mod spec;

mod read;
mod tree;
mod variables;

pub use place::{Place, Placed};
pub use report::{Report, Reports, Severity};
pub use source::{Environment, FileAccess, Source};
pub use spec::Spec;

use std::path::PathBuf;

use report::{Faults, SourceFile};
use tree::Node;

/// A specification as it was read, with what else is needed to compile it.
#[derive(Debug)]
pub(crate) struct Draft {
    /// What could be understood.
    pub spec: Spec,
    /// The tree that it was read from: names are known from it even where their tables are wrong.
    pub root: Node,
    /// The files, by the index that places name.
    pub files: Vec<SourceFile>,
    /// Files and directories whose change changes the configuration.
    pub watched: Vec<PathBuf>,
}

/// Reads a configuration without compiling it. What is wrong is in `faults`.
pub(crate) fn draft(source: &Source, environment: &Environment, faults: &mut Faults) -> Draft {
    let sources = source::gather(source, environment, faults);
    let spec = read::read(&sources.root, faults).unwrap_or_default();
    Draft { spec, root: sources.root, files: sources.files, watched: sources.watched }
}

#[cfg(test)]
mod tests;
