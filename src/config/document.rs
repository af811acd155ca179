// SPDX-License-Identifier: Apache-2.0
//! A TOML file that is no configuration and is read as one is: with variables, includes and located errors.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::config::read;
use crate::config::report::{Faults, SourceFile};
use crate::config::source::{self, ConfigSource, Environment};

/// What was read, and what was wrong with it so far.
#[derive(Debug)]
pub(crate) struct Document<T> {
    /// What could be understood.
    pub content: T,
    /// The files, by the index that places name.
    pub files: Vec<SourceFile>,
    /// What is wrong.
    pub faults: Faults,
}

/// Reads the file at `path`.
pub(crate) fn read_document<T: DeserializeOwned + Default>(path: &Path, environment: &Environment) -> Document<T> {
    let mut faults = Faults::default();
    let sources = source::gather(&ConfigSource::File(path.to_owned()), environment, None, &mut faults);
    let content = if faults.broken { T::default() } else { read::read(&sources.root, &mut faults).unwrap_or_default() };
    Document { content, files: sources.files, faults }
}
