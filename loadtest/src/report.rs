// SPDX-License-Identifier: Apache-2.0
//! What a finished run leaves beside its raw figures: the tables and the plot. Both can be made again from the raw
//! file.

use std::fs;
use std::path::Path;

use crate::failure::{Context, Failure};
use crate::plot;
use crate::record;
use crate::summary::Summary;

/// Reads the raw figures in `folder`, writes `summary.txt` and `plot.svg` beside them, and returns the figures.
pub fn write(folder: &Path) -> Result<Summary, Failure> {
    let summary = Summary::of(&record::read(folder)?);
    fs::write(folder.join("summary.txt"), summary.text()).context("writing the summary")?;
    fs::write(folder.join("plot.svg"), plot::draw(&summary)).context("writing the plot")?;
    Ok(summary)
}
