// SPDX-License-Identifier: Apache-2.0
//! Hot. Tells the upstream who calls, and removes what the client itself says of that.

use crate::policy::api_key::ConsumerFields;
use crate::policy::decision::Decision;
use crate::policy::directory::Consumer;
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::wire::head::Request;

/// The request comes from this consumer, or from somebody who is none.
pub(super) fn consumer(fields: ConsumerFields, known: Option<&Consumer>, request: Request<'_>, effects: &mut Effects) {
    let (received, bytes) = (&request.head.fields, request.bytes);
    effects.to_upstream.remove(received, bytes, NAME_FIELD);
    effects.to_upstream.remove(received, bytes, ID_FIELD);
    let Some(known) = known.filter(|_| fields == ConsumerFields::Sent) else { return };
    effects.to_upstream.add(NAME_FIELD, known.name.as_bytes());
    if !known.id().is_empty() {
        effects.to_upstream.add(ID_FIELD, known.id().as_bytes());
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

const NAME_FIELD: &[u8] = b"X-Consumer-Name";
const ID_FIELD: &[u8] = b"X-Consumer-Id";
