//! Configuration: from what a person wrote (`Spec`) to what a shard runs (`Plan`).
//!
//! `source` reads files and fills in variables, `tree` parses TOML with places, `read` makes a `Spec` of it,
//! `compile` a `Plan`. Nothing stops at the first fault: all of them come back as one `Reports`.

pub mod compile;
pub mod diff;
pub mod explain;
pub mod one_line;
pub mod place;
pub mod plan;
pub mod reference;
pub mod report;
pub mod source;
pub mod spec;

mod read;
mod tree;
mod variables;

pub use compile::TicketKeys;
pub use one_line::OneLine;
pub use place::{Place, Placed};
pub use report::{Report, Reports, Severity};
pub use source::{Environment, FileAccess, Source};
pub use spec::Spec;

use std::path::PathBuf;
use std::sync::Arc;

use plan::Plan;
use report::{Faults, SourceFile};
use tree::Node;

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// What shards run.
    pub plan: Arc<Plan>,
    /// What was written.
    pub spec: Spec,
    /// Files and directories whose change changes the configuration.
    pub files: Vec<PathBuf>,
    /// What somebody should look at; never errors.
    pub warnings: Reports,
}

/// Reads, checks and compiles a configuration. Errors come with all warnings.
pub fn load(source: &Source, environment: &Environment) -> Result<Loaded, Reports> {
    let mut faults = Faults::default();
    let draft = draft(source, environment, &mut faults);
    finish(draft, environment, faults)
}

/// Reads and compiles a text without files or variables: for fuzzing, and for editors. `None` where all is well.
pub fn check_text(text: &str) -> Option<Reports> {
    let source = Source::Text { name: "text".to_owned(), text: text.to_owned() };
    match load(&source, &Environment::sealed()) {
        Ok(loaded) => Some(loaded.warnings).filter(|warnings| !warnings.list.is_empty()),
        Err(reports) => Some(reports),
    }
}

/// A specification as it was read, with what else is needed to compile it.
#[derive(Debug)]
struct Draft {
    /// What could be understood.
    spec: Spec,
    /// The tree that it was read from: names are known from it even where their tables are wrong.
    root: Node,
    /// The files, by the index that places name.
    files: Vec<SourceFile>,
    /// Files and directories whose change changes the configuration.
    watched: Vec<PathBuf>,
}

/// Reads a configuration without compiling it. What is wrong is in `faults`.
fn draft(source: &Source, environment: &Environment, faults: &mut Faults) -> Draft {
    let sources = source::gather(source, environment, faults);
    let spec = read::read(&sources.root, faults).unwrap_or_default();
    Draft { spec, root: sources.root, files: sources.files, watched: sources.watched }
}

fn finish(draft: Draft, environment: &Environment, mut faults: Faults) -> Result<Loaded, Reports> {
    let mut files = draft.watched.clone();
    let plan = compile::compile(&draft, environment, &mut faults, &mut files);
    let Draft { spec, files: sources, .. } = draft;
    let warnings = faults.into_reports(sources);
    if warnings.errors() > 0 {
        return Err(warnings);
    }
    files.sort();
    files.dedup();
    Ok(Loaded { plan: Arc::new(plan), spec, files, warnings })
}

#[cfg(test)]
mod tests;
