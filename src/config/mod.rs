// SPDX-License-Identifier: Apache-2.0
//! Configuration: from what an operator wrote (`Spec`) to what a shard runs (`Plan`).
//!
//! `source` reads files and fills in variables, `tree` parses TOML with source locations, `read` makes a `Spec`,
//! `compile` a `Plan`. No step stops at the first error: all come back as one `Reports`.

pub(crate) mod compile;
pub(crate) mod diff;
pub(crate) mod directory;
pub(crate) mod document;
pub(crate) mod explain;
pub(crate) mod location;
pub(crate) mod matching;
pub(crate) mod one_line;
pub(crate) mod plan;
#[cfg(test)]
mod reference;
pub(crate) mod report;
// The control plane reads configurations, on a thread that serves nobody.
#[allow(clippy::disallowed_methods)]
pub(crate) mod source;
pub(crate) mod spec;

mod draft;
mod files;
mod habits;
mod hidden;
mod read;
mod tickets;
mod tree;
#[cfg(test)]
mod variables;

pub(crate) use files::{Files, Texts};
pub(crate) use hidden::Hidden;
pub(crate) use one_line::OneLine;
pub(crate) use report::{Report, Reports};
#[cfg(feature = "bench")]
pub use source::FileAccess;
pub use source::{ConfigSource, Environment};
pub(crate) use spec::Spec;

use std::sync::Arc;

use draft::Draft;
use plan::Plan;
use report::Faults;

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// What shards run.
    pub plan: Arc<Plan>,
    /// What was written.
    pub spec: Spec,
    /// Files and directories whose change changes the configuration.
    pub files: Files,
    /// The texts that it was compiled from.
    pub texts: Arc<Texts>,
    /// What somebody should look at; never errors.
    pub warnings: Reports,
}

/// Reads, checks and compiles a configuration. Errors come with all warnings.
pub fn load(source: &ConfigSource, environment: &Environment) -> Result<Loaded, Reports> {
    load_over(source, environment, None)
}

/// As `load`; texts that are `kept` are not read again, but certificates, secrets and the like are.
pub(crate) fn load_over(
    source: &ConfigSource,
    environment: &Environment,
    kept: Option<&Texts>,
) -> Result<Loaded, Reports> {
    let mut faults = Faults::default();
    let draft = Draft::read(source, environment, kept, &mut faults);
    finish(draft, environment, faults)
}

/// Reads and compiles a text without files or variables: for fuzzing, and for editors. `None` where all is well.
#[cfg(any(test, feature = "fuzz"))]
pub fn check_text(text: &str) -> Option<Reports> {
    let source = ConfigSource::Text { name: "text".to_owned(), text: text.to_owned() };
    match load(&source, &Environment::sealed()) {
        Ok(loaded) => Some(loaded.warnings).filter(|warnings| !warnings.list.is_empty()),
        Err(reports) => Some(reports),
    }
}

fn finish(draft: Draft, environment: &Environment, mut faults: Faults) -> Result<Loaded, Reports> {
    let mut files = draft.watched.clone();
    if faults.broken {
        return Err(faults.into_reports(draft.files));
    }
    faults.hidden.sort();
    let plan = compile::compile(&draft, environment, &mut faults, &mut files.materials);
    let Draft { spec, files: sources, texts, .. } = draft;
    let warnings = faults.into_reports(sources);
    if warnings.errors() > 0 {
        return Err(warnings);
    }
    files.sort();
    Ok(Loaded { plan: Arc::new(plan), spec, files, texts: Arc::new(texts), warnings })
}

#[cfg(test)]
mod tests;
