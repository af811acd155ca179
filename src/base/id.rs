// SPDX-License-Identifier: Apache-2.0
//! Dense numbers. Those of a plan index the array of their kind in that plan, and in no other. Those of the directory
//! (`policy/directory`) are given by the control plane and never used again while the process lives.

/// Declares ids, each around a `u32`.
macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $name(pub u32);
        )*
    };
}

ids! {
    /// Names one listener of a plan.
    ListenerId,
    /// Names one route of a plan.
    RouteId,
    /// Names one upstream of a plan.
    UpstreamId,
    /// Names one policy instance of a plan.
    PolicyId,
    /// Names one consumer of the directory.
    ConsumerId,
    /// Names one credential of a consumer.
    CredentialId,
    /// Names one app of a consumer.
    AppId,
    /// Names one tenant.
    TenantId,
    /// Names one plan that consumers subscribe to.
    PlanId,
    /// Names one product: a set of routes that is sold together.
    ProductId,
    /// Names one version of an API of a plan.
    VersionId,
}
