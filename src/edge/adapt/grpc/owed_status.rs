// SPDX-License-Identifier: Apache-2.0
//! Hot. The status that every gRPC response owes its client. A client may take a response without one for success, so
//! the gateway adds one where the server ended without it.

use std::borrow::Cow;

use crate::base::ascii::is_name;
use crate::edge::adapt::grpc::call;
use crate::edge::flow::stream::Outgoing;
use crate::wire::field::Known;
use crate::wire::grpc::{Code, End, Media, status, web};
use crate::wire::head::BodyLength;

/// Whether a response still owes its status.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwedStatus {
    /// The response is gRPC, and its head held no status.
    owed: bool,
    /// It ended without one, so that the gateway added one.
    supplied: bool,
}

/// What a client gets where the server did not say how the call ended.
const NO_STATUS: End<'static> = End::plain(Code::Unknown, "the server ended without a status");

impl OwedStatus {
    /// A final response begins.
    pub(crate) fn head(&mut self, outgoing: &Outgoing<'_>) {
        let said = call::code_of(outgoing.response).is_some();
        let content_type = outgoing.response.value(Known::ContentType).unwrap_or_default();
        let status = outgoing.response.head.status;
        let owed = status == 200 && !said && Media::of(content_type) == Some(Media::Grpc);
        *self = OwedStatus { owed, supplied: false };
    }

    /// Adds a status to a head without content behind it.
    pub(crate) fn add_to_head(&mut self, outgoing: &mut Outgoing<'_>) {
        if !self.owed || outgoing.length != BodyLength::None {
            return;
        }
        *self = OwedStatus { owed: false, supplied: true };
        for (name, value) in NO_STATUS.fields() {
            outgoing.patch.add(name.as_bytes(), value);
        }
    }

    /// Adds a status to trailers that hold none.
    pub(crate) fn add_to_trailers(&mut self, trailers: &mut Cow<'_, [u8]>) {
        if !self.owed || End::read_lines(trailers).is_some() {
            return;
        }
        *self = OwedStatus { owed: false, supplied: true };
        let mut lines = Vec::new();
        let others = status::lines(trailers).filter(|(name, _)| !is_name(name, status::STATUS.as_bytes()));
        others.for_each(|(name, value)| web::write_line(name, value, &mut lines));
        NO_STATUS.write_lines(&mut lines);
        *trailers = Cow::Owned(lines);
    }

    /// The status that was added.
    pub(crate) fn supplied(self) -> Option<End<'static>> {
        self.supplied.then_some(NO_STATUS)
    }
}
