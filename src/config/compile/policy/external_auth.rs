// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.external_auth]`.

use std::time::Duration;

use crate::config::compile::Compiler;
use crate::config::compile::fields::Head;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::spec::policy::external_auth::{AuthFailure, Spec};
use crate::config::spec::shape::Many;
use crate::policy::external_auth::{Copied, Forward, OnFailure, Plan, Redirects};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    let upstream = compiler.upstream_of(&spec.upstream);
    let root = Located::nowhere("/".to_owned());
    let path = spec.path.as_ref().unwrap_or(&root);
    if !path.value.starts_with(['/', '{']) {
        compiler.error(path.location, "a path begins with `/`");
    }
    let target = compiler.field_value(path, &[]);
    let forward = match &spec.send {
        Some(names) => {
            Forward::Only(compiler.field_names(names).into_iter().map(|name| name.into_boxed_slice()).collect())
        }
        None => Forward::All,
    };
    Some(Plan {
        to_upstream: copied(compiler, &spec.to_upstream),
        to_client: copied(compiler, &spec.to_client),
        upstream: upstream?,
        name: context.name.into(),
        target: target?,
        timeout: spec.timeout.as_ref().map_or(AUTH_TIMEOUT, |timeout| timeout.0),
        forward,
        redirects: if spec.forward_redirects { Redirects::Forward } else { Redirects::Fail },
        failure: match spec.failure {
            AuthFailure::Refuse => OnFailure::Refuse(500),
            AuthFailure::Unavailable => OnFailure::Refuse(503),
            AuthFailure::Admit => OnFailure::Admit,
        },
    })
}

fn copied(compiler: &mut Compiler<'_>, names: &Many<Located<String>>) -> Box<[Copied]> {
    let mut list = Vec::new();
    for name in names.iter() {
        if compiler.field_name(name, Head::Response) {
            let name: Box<[u8]> = name.value.as_bytes().into();
            list.push(Copied { from: name.clone(), to: name });
        }
    }
    list.into()
}

/// The default timeout: people notice a longer wait.
const AUTH_TIMEOUT: Duration = Duration::from_secs(1);
