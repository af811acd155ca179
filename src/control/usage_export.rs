// SPDX-License-Identifier: Apache-2.0
//! Sends parts of exports of usage to where the configuration says: a file, or a URL.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use serde_json::json;

use crate::base::Wall;
use crate::config::plan::UsageExportPlan;
use crate::control::admin::moment;
use crate::control::fetch::Client;
use crate::control::resolve::SystemLookup;
use crate::control::store::usage_export::Part;
use crate::wire::url::Url;

/// Longest time for one part to be taken.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most of a response that is read; what it says does not matter.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Only the owner and the group may read what somebody is billed for.
const MODE: u32 = 0o640;

/// Sends a part. Where this gives a fault it may have arrived all the same.
pub(super) async fn send(part: &Part, plan: &Arc<UsageExportPlan>, now: Wall) -> Result<(), String> {
    let lines = lines(part);
    match &plan.url {
        Some(url) => {
            let client = Client { lookup: Rc::new(SystemLookup::new()), tls: plan.tls.clone() };
            let posted = tokio::time::timeout(TIMEOUT, post(&client, url, plan, (part, lines, now))).await;
            posted.unwrap_or_else(|_| Err("no response in time".to_owned()))
        }
        None => {
            let plan = Arc::clone(plan);
            let written = tokio::task::spawn_blocking(move || match &plan.file {
                Some(file) => {
                    append(file, &plan, lines.as_bytes()).map_err(|error| format!("{}: {error}", file.display()))
                }
                None => Ok(()),
            });
            written.await.unwrap_or_else(|error| Err(error.to_string()))
        }
    }
}

/// A line of JSON for each row. Each has the id of its part and its number, so that rows can be told apart.
fn lines(part: &Part) -> String {
    let mut lines = String::new();
    for (number, (start, series, measures)) in part.rows.iter().enumerate() {
        let line = json!({
            "id": part.id(), "row": number, "start": moment(Some(*start)),
            "consumer": series.consumer, "app": series.app, "tenant": series.tenant, "plan": series.plan,
            "product": series.product, "route": series.route, "version": series.version,
            "status": format!("{}xx", series.class),
            "requests": measures.requests, "bytes_received": measures.bytes_received,
            "bytes_sent": measures.bytes_sent, "latency_us": measures.latency_us,
            "upstream_us": measures.upstream_us, "limited": measures.limited,
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines
}

async fn post(
    client: &Client,
    url: &Url,
    plan: &UsageExportPlan,
    (part, lines, now): (&Part, String, Wall),
) -> Result<(), String> {
    let (id, time) = (part.id(), now.seconds());
    let mut request = Request::post(&*url.target)
        .header(CONTENT_TYPE, "application/jsonl")
        .header("webhook-id", &id)
        .header("webhook-timestamp", time);
    if let Some(secret) = &plan.secret {
        request = request.header("webhook-signature", signature(secret, &id, time, &lines));
    }
    let request = request.body(Full::new(Bytes::from(lines))).map_err(|error| error.to_string())?;
    let fetched = client.connect(url).await?.exchange(url, request, RESPONSE_BYTES_MAX).await?;
    match fetched.status {
        200..300 => Ok(()),
        status => Err(format!("status {status}")),
    }
}

/// As Standard Webhooks says: `v1,` and the Base64 of an HMAC-SHA256 over id, time and content, with points between.
fn signature(secret: &[u8], id: &str, time: u64, content: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signed = hmac::sign(&key, format!("{id}.{time}.{content}").as_bytes());
    format!("v1,{}", STANDARD.encode(signed))
}

/// Appends to a file and waits until that is on disk. A file that is too large is renamed first.
fn append(path: &Path, plan: &UsageExportPlan, lines: &[u8]) -> io::Result<()> {
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size > 0 && size + lines.len() as u64 > plan.file_bytes_max {
        rotate(path, plan.files_max)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).mode(MODE).open(path)?;
    let whole = file.metadata()?.len();
    if let Err(error) = file.write_all(lines).and_then(|()| file.sync_data()) {
        // A line that was cut would spoil the one behind it.
        let _ = file.set_len(whole);
        return Err(error);
    }
    Ok(())
}

/// `FILE` becomes `FILE.1`, `FILE.1` becomes `FILE.2` and so on; the last one is deleted.
fn rotate(path: &Path, files_max: u64) -> io::Result<()> {
    let name = |number: u64| PathBuf::from(format!("{}.{number}", path.display()));
    if files_max == 0 {
        return fs::remove_file(path);
    }
    for number in (1..files_max).rev() {
        match fs::rename(name(number), name(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, name(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Measures, Series};

    fn part() -> Part {
        let series = Series { consumer: "a\"b".into(), route: "r".into(), class: 2, ..Series::default() };
        Part {
            store: 255,
            export: 3,
            part: 1,
            rows: vec![(60, series, Measures { requests: 7, ..Measures::default() })],
        }
    }

    fn plan(file: &Path, file_bytes_max: u64, files_max: u64) -> UsageExportPlan {
        let (file, every) = (Some(file.to_owned()), Duration::from_secs(1));
        UsageExportPlan { file, file_bytes_max, files_max, url: None, tls: None, secret: None, every }
    }

    #[test]
    fn a_line_says_everything_and_is_signed_as_standard_webhooks_says() {
        let line: serde_json::Value = serde_json::from_str(lines(&part()).trim_end()).expect("JSON");
        assert_eq!((&line["id"], &line["row"], &line["requests"]), (&json!("usage-ff-3-1"), &json!(0), &json!(7)));
        assert_eq!((&line["start"], &line["status"]), (&json!("1970-01-01T00:01:00Z"), &json!("2xx")));
        // The example of the specification (standardwebhooks.com).
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("Base64");
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn files_are_rotated_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("usage.jsonl");
        let plan = plan(&path, 10, 2);
        for number in 0..5 {
            append(&path, &plan, format!("line {number}\n").as_bytes()).expect("written");
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        assert_eq!((read("usage.jsonl"), read("usage.jsonl.1")), ("line 4\n".to_owned(), "line 3\n".to_owned()));
        assert_eq!((read("usage.jsonl.2"), read("usage.jsonl.3")), ("line 2\n".to_owned(), String::new()));
    }
}
