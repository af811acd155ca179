// SPDX-License-Identifier: Apache-2.0
//! Whether a request that reached an origin is one that some client made.

use crate::sim::common::Common;
use crate::sim::ledger::PlannedRequest;
use crate::sim::message_io::{ConversationError, Framing, Head};
use crate::sim::tag::note;

/// Finds the client's request that arrived here, and checks that nothing changed that must not.
pub(super) fn recognise(
    common: &Common,
    head: &Head,
    framing: Framing,
) -> Result<(u64, PlannedRequest, Framing), ConversationError> {
    let id = head.number("x-exchange")?;
    let id = id.ok_or_else(|| ConversationError::Malformed(format!("a request without a tag: {head:?}")))?;
    let ask = common.ledger.borrow().ask(id).map_err(ConversationError::Malformed)?;
    let start = format!("{} {} HTTP/1.1", ask.method, ask.to.path(id));
    let right_length = match framing {
        Framing::Length(length) => length == ask.length && !ask.upgrades,
        Framing::Empty => ask.length == 0 || ask.upgrades,
        Framing::Chunked => ask.framing == Framing::Chunked && ask.length > 0,
        Framing::Close => false,
    };
    let host = head.value("host")? == Some("origin.test");
    let note = head.value("x-note")?.is_none_or(|told| told == note(id));
    if head.start != start || !host || !right_length || !note || head.value("x-hop")?.is_some() {
        return Err(ConversationError::Malformed(format!(
            "a request that its client did not make: {head:?} for {ask:?}"
        )));
    }
    Ok((id, ask, framing))
}
