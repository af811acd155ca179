// SPDX-License-Identifier: Apache-2.0
//! Hot. Tells the upstream who calls, in fields that a client cannot send.

use crate::policy::decision::Decision;
use crate::policy::directory::Consumer;
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::policy::protected::Protected;
use crate::wire::field::Known;

/// Whether the upstream is told who it is, in `X-Consumer-Name` and `X-Consumer-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerFields {
    /// It is.
    Sent,
    /// It is not.
    Omitted,
}

/// The fields that say who calls. No client may say it, also where the upstream is not told.
pub(super) fn protect(names: &mut Protected) {
    names.add(b"X-Consumer-Name");
    names.add(b"X-Consumer-Id");
}

/// A policy has found `found`, who is this consumer or none. Nothing is changed where another stays who calls.
pub(super) fn consumer<L>(
    fields: ConsumerFields,
    (found, known): (&Identity, Option<&Consumer>),
    facts: &Facts<'_, L>,
    effects: &mut Effects,
) {
    if !found.replaces(facts.identity) {
        return;
    }
    let patch = &mut effects.to_upstream;
    patch.remove_added(b"X-Consumer-Name");
    patch.remove_added(b"X-Consumer-Id");
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
    let found = Identity::anonymous(known.number, method);
    consumer(fields, (&found, Some(known)), facts, effects);
    effects.identified = Some(found);
    Some(Decision::Pass)
}
