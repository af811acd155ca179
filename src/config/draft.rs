// SPDX-License-Identifier: Apache-2.0
//! A configuration that was read and not yet compiled.

use crate::config::files::{Files, Texts};
use crate::config::read;
use crate::config::report::{Faults, SourceFile};
use crate::config::source::{self, ConfigSource, Environment};
use crate::config::spec::Spec;
use crate::config::tree::Node;

/// A `Spec` as it was read, with what else the compiler needs.
#[derive(Debug)]
pub(super) struct Draft {
    /// What could be understood.
    pub(super) spec: Spec,
    /// The tree that it was read from; it has all names, even those of wrong tables.
    pub(super) root: Node,
    /// The files, by the index that places name.
    pub(super) files: Vec<SourceFile>,
    /// Files and directories whose change changes the configuration.
    pub(super) watched: Files,
    /// The texts of the files.
    pub(super) texts: Texts,
}

impl Draft {
    /// Reads a configuration without compiling it; texts that are `kept` are not read again. Adds errors to `faults`.
    pub(super) fn read(
        source: &ConfigSource,
        environment: &Environment,
        kept: Option<&Texts>,
        faults: &mut Faults,
    ) -> Draft {
        let sources = source::gather(source, environment, kept, faults);
        let mut following = Faults::default();
        let faults = if faults.broken { &mut following } else { faults };
        let spec = read::read(&sources.root, faults).unwrap_or_default();
        let (root, texts) = (sources.root, sources.texts);
        Draft { spec, root, files: sources.files, watched: sources.watched, texts }
    }
}
