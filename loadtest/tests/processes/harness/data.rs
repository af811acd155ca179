//! The outside cases of `../shared/data`. They are not part of the project; where they are absent the tests say so.

use std::fs;
use std::path::Path;

/// A data file, beside the project or one folder further up (for a second worktree).
pub fn data(name: &str) -> Option<String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace member lies in the workspace");
    let places = project.ancestors().skip(1).take(2).map(|folder| folder.join("shared/data").join(name));
    let text = places.into_iter().find_map(|path| fs::read_to_string(path).ok());
    if text.is_none() {
        println!("SKIPPED: ../shared/data/{name} is not there");
    }
    text
}
