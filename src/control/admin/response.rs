// SPDX-License-Identifier: Apache-2.0
//! Responses of the admin server: their content and the fields that all of them have.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Poll;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::control::admin::precondition::tag;
use crate::control::admin::problem::{MEDIA_TYPE, Problem};

/// The media type of texts.
pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
/// The media type of documents.
pub(crate) const JSON: &str = "application/json";

/// A response.
pub(crate) type AdminResponse = Response<Content>;

/// The content of a response.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it.
    Whole(Full<Bytes>),
    /// What a trace shows, as it comes.
    Trace(mpsc::Receiver<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Content::Whole(whole) => Pin::new(whole).poll_frame(context),
            Content::Trace(lines) => lines.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(whole) => whole.size_hint(),
            Content::Trace(_) => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Content::Whole(whole) => whole.is_end_stream(),
            Content::Trace(_) => false,
        }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListOf{T}")]
pub(crate) struct List<T> {
    /// In order.
    pub items: Vec<T>,
    /// The `cursor` of the next part; `null` at the end.
    pub next: Option<String>,
}

/// What an action gives.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Its media type; empty where there is no content.
    pub media_type: &'static str,
    /// The content.
    pub content: Payload,
    /// Further fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Where it may be kept for a request that is sent again.
    pub kept: Kept,
}

/// Where a response may be kept for a request that is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// In the store too.
    Stored,
    /// In memory alone: it shows a secret, which the store has as a hash.
    Memory,
}

/// The content that an action gives.
#[derive(Debug)]
pub(crate) enum Payload {
    /// All of it.
    Bytes(Bytes),
    /// A trace.
    Trace(mpsc::Receiver<Bytes>),
}

impl Reply {
    /// A text.
    pub(crate) fn text(status: StatusCode, words: impl Into<String>) -> Reply {
        Reply::bytes(status, PLAIN, words.into().into())
    }

    /// A document.
    pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Reply {
        // Our documents have text for names, which is the one thing that serialising could stumble over.
        let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
        text.push('\n');
        Reply::bytes(status, JSON, text.into())
    }

    /// No content (204).
    pub(crate) fn nothing() -> Reply {
        Reply::bytes(StatusCode::NO_CONTENT, "", Bytes::new())
    }

    /// The client has it already (304).
    pub(crate) fn not_modified() -> Reply {
        Reply::bytes(StatusCode::NOT_MODIFIED, "", Bytes::new())
    }

    /// Bytes of this type.
    pub(crate) fn bytes(status: StatusCode, media_type: &'static str, bytes: Bytes) -> Reply {
        Reply { status, media_type, content: Payload::Bytes(bytes), fields: Vec::new(), kept: Kept::Stored }
    }

    /// A trace as it comes.
    pub(crate) fn trace(lines: mpsc::Receiver<Bytes>) -> Reply {
        let (status, content) = (StatusCode::OK, Payload::Trace(lines));
        Reply { status, media_type: PLAIN, content, fields: Vec::new(), kept: Kept::Memory }
    }

    /// With something that is shown once and never again.
    pub(crate) fn shown_once(self) -> Reply {
        Reply { kept: Kept::Memory, ..self }
    }

    /// With the tag of a revision.
    pub(crate) fn tagged(self, revision: u64) -> Reply {
        let value = HeaderValue::try_from(tag(revision)).expect("digits in quotes are a field's value");
        self.field(ETAG, value)
    }

    /// With one more field.
    pub(crate) fn field(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.fields.push((name, value));
        self
    }

    /// The response.
    pub(crate) fn response(self) -> AdminResponse {
        let content = match self.content {
            Payload::Bytes(bytes) => Content::Whole(Full::new(bytes)),
            Payload::Trace(lines) => Content::Trace(lines),
        };
        let mut response = Response::new(content);
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        if !self.media_type.is_empty() {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        }
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        fields.extend(self.fields);
        response
    }
}

/// The response of a refusal.
pub(crate) fn refusal(problem: Problem, request_id: &str) -> Reply {
    let mut text = problem.document(request_id).to_string();
    text.push('\n');
    let mut reply = Reply::bytes(problem.status(), MEDIA_TYPE, text.into());
    reply.fields = problem.fields;
    reply
}
