// SPDX-License-Identifier: Apache-2.0
//! What serves the routes of the admin server. Each takes a `Call` and gives a `Reply` or a `Problem`.

pub(super) mod audit;
pub(crate) mod credential_document;
pub(crate) mod credentials;
pub(crate) mod limits;
pub(crate) mod objects;
pub(super) mod pages;
pub(super) mod process;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(super) mod upstreams;
pub(crate) mod usage;

use std::rc::Rc;

use crate::control::admin::action::Action;
use crate::control::admin::call::Call;
use crate::control::admin::problem::Problem;
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;

/// Serves a call.
pub(super) async fn run(action: Action, call: Call, state: &Rc<AdminState>) -> Result<Reply, Problem> {
    match action {
        Action::Index => Ok(pages::index(state)),
        Action::Health => Ok(pages::health()),
        Action::Ready => pages::ready(state).await,
        Action::Metrics => pages::metrics(state).await,
        Action::StatusPage | Action::Status => process::status(state).await,
        Action::ReloadPage => pages::reload(&call, state).await,
        Action::StopPage => pages::stop(&call, state).await,
        Action::Trace => pages::trace(&call, state).await,
        Action::ApiIndex => Ok(process::index(state)),
        Action::OpenApi => Ok(process::openapi(state)),
        Action::WhoAmI => Ok(process::who_am_i(&call)),
        Action::Reload => process::reload(&call, state).await,
        Action::Stop => process::stop(call, state).await,
        Action::ShowLogLevel => process::show_log_level(state).await,
        Action::ChooseLogLevel => process::choose_log_level(call, state).await,
        Action::ResetLogLevel => process::reset_log_level(&call, state).await,
        Action::Listeners => process::listeners(&call, state).await,
        Action::Traces => process::traces(state).await,
        Action::Audit => audit::list(&call, state).await,
        Action::Objects(kind, what) => objects::run(kind, what, call, state).await,
        Action::Credentials => credentials::list(&call, state).await,
        Action::Credential => credentials::show(&call, state).await,
        Action::CreateCredential => credentials::create(call, state).await,
        Action::PatchCredential => credentials::patch(call, state).await,
        Action::RotateCredential => credentials::rotate(call, state).await,
        Action::RevokeCredential => credentials::revoke(&call, state).await,
        Action::Tokens => tokens::list(&call, state).await,
        Action::CreateToken => tokens::create(call, state).await,
        Action::RevokeToken => tokens::revoke(&call, state).await,
        Action::Sessions => sessions::list(&call, state).await,
        Action::EndSession => sessions::end(&call, state).await,
        Action::EndSessions => sessions::end_all(call, state).await,
        Action::Usage => usage::list(&call, state).await,
        Action::Upstreams => upstreams::list(&call, state).await,
        Action::Upstream => upstreams::show(&call, state).await,
        Action::Endpoint => upstreams::endpoint(&call, state).await,
        Action::Drain => upstreams::drain(&call, state).await,
        Action::Undrain => upstreams::undrain(&call, state).await,
        Action::Weight => upstreams::weight(call, state).await,
        Action::Limits => upstreams::limits(&call, state).await,
        Action::Limit => upstreams::limit(&call, state).await,
        Action::LimitKey => limits::show(&call, state).await,
        Action::ResetLimit => limits::reset(call, state).await,
    }
}
