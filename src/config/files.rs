// SPDX-License-Identifier: Apache-2.0
//! The files that a configuration was made from: those to watch, and the texts to compile it from once more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files and directories whose change changes what a configuration does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The configuration's own files, and the directories in which includes with wildcards look.
    pub texts: Vec<PathBuf>,
    /// What it names: certificates, keys, secrets, descriptor sets.
    pub materials: Vec<PathBuf>,
}

impl Files {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        self.texts.iter().chain(&self.materials).map(PathBuf::as_path)
    }

    /// In order, each once.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.texts, &mut self.materials] {
            list.sort();
            list.dedup();
        }
    }
}

/// A configuration's own files as they were read, so that it can be compiled again with new certificates and secrets
/// while somebody edits it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// By path.
    pub(super) files: BTreeMap<PathBuf, String>,
    /// By directory and pattern, what an include with wildcards found.
    pub(super) matches: BTreeMap<(PathBuf, String), Vec<PathBuf>>,
}
