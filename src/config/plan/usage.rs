// SPDX-License-Identifier: Apache-2.0
//! How usage is counted, kept and exported.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::UpstreamTlsPlan;
pub(crate) use crate::config::spec::usage::UsageMode;
use crate::wire::url::Url;

/// How usage is counted, kept and exported.
#[derive(Clone, Debug)]
pub struct UsagePlan {
    /// How long a billed response waits at most until it is recorded.
    pub wait: Duration,
    /// Most series in one period.
    pub series_max: u64,
    /// How long minutes, hours and days are kept, in seconds.
    pub keep: [u64; 3],
    /// Where it is sent to.
    pub export: Option<Arc<UsageExportPlan>>,
}

/// Where usage is sent to.
#[derive(Clone)]
pub struct UsageExportPlan {
    /// A file.
    pub file: Option<PathBuf>,
    /// It is renamed above so many bytes.
    pub file_bytes_max: u64,
    /// So many renamed files are kept.
    pub files_max: u64,
    /// A URL.
    pub url: Option<Url>,
    /// How it is asked over TLS.
    pub tls: Option<UpstreamTlsPlan>,
    /// Signs what is posted.
    pub secret: Option<Box<[u8]>>,
    /// How often.
    pub every: Duration,
}

impl std::fmt::Debug for UsageExportPlan {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("UsageExportPlan").field("file", &self.file).field("url", &self.url).finish_non_exhaustive()
    }
}
