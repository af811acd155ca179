// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.external_auth]`.

use std::time::Duration;

use crate::base::limits::POLICY_BODY_BYTES_MAX;
use crate::config::compile::Compiler;
use crate::config::compile::fields::Head;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::external_auth::{AuthCacheSpec, AuthFailure, AuthMethod, AuthPreset, Spec};
use crate::config::spec::shape::Many;
use crate::policy::external_auth::{
    CachePlan, Copied, Forward, OnFailure, OriginalFields, Plan, Redirects, Refusals, SubrequestMethod, Target,
};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    let upstream = compiler.upstream_of(&spec.upstream);
    let preset = spec.preset.unwrap_or(AuthPreset::AuthRequest);
    let target = target(compiler, spec, preset);
    let forward = match &spec.send {
        Some(names) => {
            Forward::Only(compiler.field_names(names).into_iter().map(|name| name.into_boxed_slice()).collect())
        }
        None => Forward::All,
    };
    let body_bytes_max = spec.body.as_ref().map(|size| {
        if size.value.0 > POLICY_BODY_BYTES_MAX {
            compiler.error(size.location, format!("a policy reads {} MiB at most", POLICY_BODY_BYTES_MAX >> 20));
        }
        size.value.0
    });
    let whole = spec.pass_refusals.unwrap_or(preset != AuthPreset::AuthRequest);
    let failure = match (spec.failure, preset) {
        (Some(failure), _) => failure,
        (None, AuthPreset::ExtAuthz) => AuthFailure::Forbid,
        (None, AuthPreset::AuthRequest | AuthPreset::ForwardAuth) => AuthFailure::Refuse,
    };
    Some(Plan {
        to_upstream: copied(compiler, &spec.to_upstream),
        to_client: copied(compiler, &spec.to_client),
        cache: spec.cache.as_ref().and_then(|cache| self::cache(compiler, cache)),
        upstream: upstream?,
        name: context.name.into(),
        method: match (spec.method, preset) {
            (Some(AuthMethod::Get), _) => SubrequestMethod::Get,
            (Some(AuthMethod::Post), _) => SubrequestMethod::Post,
            (Some(AuthMethod::Original), _) | (None, AuthPreset::ExtAuthz) => SubrequestMethod::Original,
            (None, _) if spec.body.is_some() => SubrequestMethod::Post,
            (None, AuthPreset::AuthRequest | AuthPreset::ForwardAuth) => SubrequestMethod::Get,
        },
        target: target?,
        body_bytes_max,
        original: match spec.preset {
            None | Some(AuthPreset::AuthRequest) => OriginalFields::All,
            Some(AuthPreset::ForwardAuth) => OriginalFields::Forwarded,
            Some(AuthPreset::ExtAuthz) => OriginalFields::Ends,
        },
        timeout: spec.timeout.as_ref().map_or(AUTH_TIMEOUT, |timeout| timeout.0),
        forward,
        redirects: if spec.forward_redirects { Redirects::Forward } else { Redirects::Fail },
        refusals: if whole { Refusals::Whole } else { Refusals::Own },
        failure: match failure {
            AuthFailure::Refuse => OnFailure::Refuse(500),
            AuthFailure::Unavailable => OnFailure::Refuse(503),
            AuthFailure::Forbid => OnFailure::Refuse(403),
            AuthFailure::Admit => OnFailure::Admit,
        },
    })
}

fn target(compiler: &mut Compiler<'_>, spec: &Spec, preset: AuthPreset) -> Option<Target> {
    let root = Located::nowhere("/".to_owned());
    let path = spec.path.as_ref().unwrap_or(&root);
    if !path.value.starts_with(['/', '{']) {
        compiler.error(path.location, "a path begins with `/`");
    }
    match preset {
        AuthPreset::AuthRequest | AuthPreset::ForwardAuth => compiler.field_value(path, &[]).map(Target::Template),
        AuthPreset::ExtAuthz => {
            if path.value.contains(['{', '}', '?', '#', ' ']) {
                let report = Report::error(path.location, "with `ext_authz`, this is a plain path");
                compiler.faults.push(report.label("the request's own path and query are put behind it"));
            }
            Some(Target::Original(path.value.trim_end_matches('/').as_bytes().into()))
        }
    }
}

fn cache(compiler: &mut Compiler<'_>, spec: &Located<AuthCacheSpec>) -> Option<CachePlan> {
    if spec.value.by.is_empty() {
        let report = Report::error(spec.location, "`by` names all that the verdict depends on");
        compiler.absent(spec.location, report.help("`by = [\"{header.Authorization}\"]`"));
    }
    let by: Vec<_> = spec.value.by.iter().map(|text| compiler.template(text, &[])).collect();
    Some(CachePlan {
        by: by.into_iter().collect::<Option<_>>()?,
        keep_max: spec.value.max.as_ref().map_or(KEEP_MAX, |time| time.0),
    })
}

fn copied(compiler: &mut Compiler<'_>, names: &Many<Located<String>>) -> Box<[Copied]> {
    let mut list = Vec::new();
    for name in names.iter() {
        let Some(start) = name.value.strip_suffix('*') else {
            if compiler.field_name(name, Head::Response) {
                list.push(Copied::Named(name.value.as_bytes().into()));
            }
            continue;
        };
        if start.len() < PREFIX_BYTES_LOW {
            let title = format!("what names begin with has {PREFIX_BYTES_LOW} characters at least");
            compiler.error(name.location, title);
        } else if compiler.token(&Located { value: start.to_owned(), location: name.location }, "field") {
            list.push(Copied::Prefixed(start.as_bytes().into()));
        }
    }
    list.into()
}

/// The default timeout: people notice a longer wait.
const AUTH_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that a verdict is remembered by default.
const KEEP_MAX: Duration = Duration::from_secs(60);
/// A shorter prefix would remove most of a request.
const PREFIX_BYTES_LOW: usize = 2;
