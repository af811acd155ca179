// SPDX-License-Identifier: Apache-2.0
//! What can be done over the admin server: a name for each, which routes refer to and `actions` serves.

use crate::control::store::object::ObjectKind;

/// What serves a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The list of routes.
    Index,
    /// Does the process live?
    Health,
    /// Does it serve?
    Ready,
    /// The metrics page.
    Metrics,
    /// The status page.
    StatusPage,
    /// Reload, for people.
    ReloadPage,
    /// Stop, for people.
    StopPage,
    /// A trace as it goes.
    Trace,
    /// What the API has.
    ApiIndex,
    /// The OpenAPI document.
    OpenApi,
    /// Who the token is.
    WhoAmI,
    /// The status document.
    Status,
    /// Reload.
    Reload,
    /// Stop.
    Stop,
    /// The level of the process log.
    ShowLogLevel,
    /// Another one.
    ChooseLogLevel,
    /// The configuration's again.
    ResetLogLevel,
    /// Listeners.
    Listeners,
    /// Traces that run.
    Traces,
    /// Who changed what.
    Audit,
    /// Something with objects of a kind.
    Objects(ObjectKind, Do),
    /// Credentials.
    Credentials,
    /// One of them.
    Credential,
    /// A new one.
    CreateCredential,
    /// Another end of one.
    PatchCredential,
    /// A key in the place of another.
    RotateCredential,
    /// The end of one.
    RevokeCredential,
    /// Tokens of the API.
    Tokens,
    /// A new one.
    CreateToken,
    /// The end of one.
    RevokeToken,
    /// Who called what.
    Usage,
    /// Sessions of browsers.
    Sessions,
    /// The end of one.
    EndSession,
    /// The end of all of somebody.
    EndSessions,
    /// Upstreams.
    Upstreams,
    /// One of them.
    Upstream,
    /// One of its endpoints.
    Endpoint,
    /// No new requests for an endpoint.
    Drain,
    /// The configured share again.
    Undrain,
    /// Another share.
    Weight,
    /// Limits.
    Limits,
    /// One of them.
    Limit,
    /// Where a key of one stands.
    LimitKey,
    /// A key's whole limit again.
    ResetLimit,
}

/// What is done with objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    /// List them.
    List,
    /// Show one.
    Show,
    /// Make or replace one.
    Put,
    /// Change members of one.
    Patch,
    /// Delete one.
    Delete,
}
