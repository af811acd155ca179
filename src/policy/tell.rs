// SPDX-License-Identifier: Apache-2.0
//! Hot. Tells the upstream who calls, and removes what the client itself says of that.

use crate::policy::decision::Decision;
use crate::policy::directory::Consumer;
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::wire::field::Known;
use crate::wire::head::Request;

/// Whether the upstream is told who it is, in `X-Consumer-Name` and `X-Consumer-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerFields {
    /// It is.
    Sent,
    /// It is not.
    Omitted,
}

/// The request comes from this consumer, or from somebody who is none.
pub(super) fn consumer(fields: ConsumerFields, known: Option<&Consumer>, request: Request<'_>, effects: &mut Effects) {
    hide(request, effects);
    name(fields, known, effects);
}

/// Removes what the client says of who calls.
pub(super) fn hide(request: Request<'_>, effects: &mut Effects) {
    let (received, bytes) = (&request.head.fields, request.bytes);
    effects.to_upstream.remove(received, bytes, b"X-Consumer-Name");
    effects.to_upstream.remove(received, bytes, b"X-Consumer-Id");
}

/// Adds who calls.
pub(super) fn name(fields: ConsumerFields, known: Option<&Consumer>, effects: &mut Effects) {
    let patch = &mut effects.to_upstream;
    let Some(known) = known.filter(|_| fields == ConsumerFields::Sent) else { return };
    patch.add_value(Known::Other, b"X-Consumer-Name: ", known.name.as_bytes());
    if !known.id().is_empty() {
        patch.add_value(Known::Other, b"X-Consumer-Id: ", known.id().as_bytes());
    }
}

/// A request without credentials counts as this consumer, where there is such a one.
pub(super) fn anonymous<'p, L>(
    name: Option<&str>,
    (fields, method): (ConsumerFields, &'static str),
    facts: &Facts<'_, L>,
    effects: &mut Effects,
) -> Option<Decision<'p>> {
    let known = facts.directory.by_name(name?)?;
    consumer(fields, Some(known), facts.request, effects);
    effects.identified = Some(Identity::of(known.number, method));
    Some(Decision::Pass)
}
