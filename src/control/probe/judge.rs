// SPDX-License-Identifier: Apache-2.0
//! What a response says about an endpoint's health, in both versions of HTTP.

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;

use crate::config::plan::HealthPlan;

/// The `User-Agent`.
pub(super) const AGENT: &str = concat!("turnpike-health/", env!("CARGO_PKG_VERSION"));
/// Bytes of a response's body that are searched.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// `Ok` and `Err` both describe what was observed.
pub(super) async fn judge(health: &HealthPlan, answer: Response<Incoming>) -> Result<String, String> {
    let status = answer.status().as_u16();
    if !health.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        return Err(format!("status {status}"));
    }
    let Some(wanted) = &health.body_contains else { return Ok(format!("status {status}")) };
    let mut body = answer.into_body();
    let mut seen: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("body: {error}"))?;
        let Some(bytes) = frame.data_ref() else { continue };
        let from = (seen.len() + 1).saturating_sub(wanted.len());
        seen.extend_from_slice(&bytes[..bytes.len().min(BODY_BYTES_MAX - seen.len())]);
        if memchr::memmem::find(&seen[from..], wanted.as_bytes()).is_some() {
            return Ok(format!("status {status} with the text"));
        }
        if seen.len() >= BODY_BYTES_MAX {
            break;
        }
    }
    Err(format!("status {status} without the text"))
}
