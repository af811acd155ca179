// SPDX-License-Identifier: Apache-2.0
//! Probes over HTTP/2: the same `GET`, or `grpc.health.v1.Health/Check`.

use crate::config::plan::HealthPlan;
use crate::control::call::{Call, Session};
use crate::control::dial::Connected;
use crate::control::probe::judge::{AGENT, BODY_BYTES_MAX, judge};
use crate::wire::grpc::Code;
use crate::wire::grpc::health::{self, Health};

/// Probes once. `Ok` and `Err` both describe what was observed.
pub(super) async fn exchange(plan: &HealthPlan, connected: Connected, host: String) -> Result<String, String> {
    let mut session = Session::open(connected, &host, AGENT).await?;
    let Some(service) = &plan.grpc else { return judge(plan, session.get(&plan.path).await?).await };
    let mut call = session.call(health::PATH, plan.timeout)?;
    let mut question = Vec::new();
    health::request(service, &mut question);
    call.say(question);
    call.finish();
    judge_call(call).await
}

async fn judge_call(mut call: Call) -> Result<String, String> {
    let first = call.next(BODY_BYTES_MAX).await?;
    let second = match first {
        Some(_) => call.next(BODY_BYTES_MAX).await?,
        None => None,
    };
    let (code, words) = call.end();
    if code == Code::Ok && (first.is_none() || second.is_some()) {
        return Err("the answer is not one message".to_owned());
    }
    match health::read(code, &first.unwrap_or_default()) {
        Health::Serving => Ok("serving".to_owned()),
        Health::NotServing => Err("not serving".to_owned()),
        Health::Unknown => Err("the server does not know".to_owned()),
        Health::NoSuchService => Err("the server has no such service".to_owned()),
        Health::NotSpoken => Err("the server has no health service".to_owned()),
        Health::Failed => Err(format!("{} {words}", code.name())),
    }
}
