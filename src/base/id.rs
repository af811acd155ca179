// SPDX-License-Identifier: Apache-2.0
//! Dense numbers that name the parts of a plan: each indexes the array of its kind in that plan, and in no other.

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
    /// Names one consumer of a plan.
    ConsumerId,
}
