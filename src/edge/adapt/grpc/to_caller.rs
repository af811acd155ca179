// SPDX-License-Identifier: Apache-2.0
//! Hot. A server's answer on its way to a caller: checked, as gRPC-Web, or as JSON.
//!
//! It takes content in plain form, whatever the client's version of HTTP, and puts it into the chunked coding itself
//! where the client wants that.

use crate::base::ascii::is_name;
use crate::base::{Buf, BufPool, Fault, FaultKind, Tick};
use crate::edge::adapt::grpc::call;
use crate::edge::adapt::grpc::from_caller::Wrong;
use crate::edge::adapt::grpc::json_response::JsonAnswer;
use crate::edge::adapt::grpc::web_response::WebAnswer;
use crate::edge::flow::relay::encode;
use crate::edge::flow::stream::{BodySink, Client, Ending, Form, Outgoing};
use crate::wire::field::Known;
use crate::wire::grpc::{Code, End, Media, Scanner, status, web};
use crate::wire::head::BodyLength;

/// What a caller is to be told in.
pub(crate) enum ResponseCodec {
    /// Messages, which are only looked at.
    Checked(Scanner),
    /// gRPC-Web.
    Web(Box<WebAnswer>),
    /// JSON.
    Json(Box<JsonAnswer>),
}

/// The way back to a caller.
pub(crate) struct ToCaller<'a, K> {
    inner: &'a mut K,
    pool: &'a BufPool,
    words: ResponseCodec,
    wrong: &'a Wrong,
    form: Form,
    /// The head that was composed last is not the final one.
    interim: bool,
    /// The answer has a body.
    bodied: bool,
    /// The head was sent.
    committed: bool,
    /// The answer is one of gRPC, and its head held no status.
    owes_status: bool,
    /// It ended without one, so that we said one.
    supplied: bool,
    out: Vec<u8>,
}

impl<'a, K: Client> ToCaller<'a, K> {
    /// To `inner`, in these words.
    pub(crate) fn new(inner: &'a mut K, words: ResponseCodec, pool: &'a BufPool, wrong: &'a Wrong) -> ToCaller<'a, K> {
        ToCaller {
            inner,
            pool,
            words,
            wrong,
            form: Form::Plain,
            interim: false,
            bodied: false,
            committed: false,
            owes_status: false,
            supplied: false,
            out: Vec::new(),
        }
    }

    /// The status of an answer in JSON, once it was sent.
    pub(crate) fn sent_status(&self) -> Option<u16> {
        match &self.words {
            ResponseCodec::Json(json) => json.sent_status(),
            ResponseCodec::Checked(_) | ResponseCodec::Web(_) => None,
        }
    }

    /// The server's head came, for an answer in JSON.
    pub(crate) fn has_head(&self) -> bool {
        match &self.words {
            ResponseCodec::Json(json) => json.has_head(),
            ResponseCodec::Checked(_) | ResponseCodec::Web(_) => false,
        }
    }

    /// What the caller was told of a server that ended without a status.
    pub(crate) fn supplied(&self) -> Option<End<'static>> {
        self.supplied.then_some(NO_STATUS)
    }

    /// Ends an answer that has begun: tells of the failure where there is still a place for it.
    pub(crate) async fn fail(&mut self, end: &End<'_>, until: Tick) -> Result<(), Fault> {
        let broken = Err(Fault::last(FaultKind::Internal));
        self.out.clear();
        match &mut self.words {
            ResponseCodec::Checked(_) => return broken,
            ResponseCodec::Web(web) => {
                if !self.bodied || !web.fail(end, &mut self.out) {
                    return broken;
                }
                if !self.committed {
                    return self.commit_out(until).await;
                }
            }
            ResponseCodec::Json(json) => {
                let refusal = self.wrong.refusal.take();
                json.fail(refusal, end, &mut self.out);
                let Some(sends) = json.step() else { return broken };
                if sends.head {
                    self.begin();
                    return self.commit_out(until).await;
                }
            }
        }
        let buf = self.taken(Ending::BARE);
        self.inner.write(buf, Ending::BARE, until).await.0
    }

    /// What was made, in a buffer that is ready to go.
    fn taken(&self, ending: Ending<'_>) -> Buf {
        let room = self.out.len() + 2 * ROOM;
        let mut buf = self.pool.take(room);
        if buf.capacity() < room {
            // Above the largest class there is no pooled buffer; this one is freed after use.
            buf = Buf::with_capacity(room);
        }
        buf.reset(ROOM);
        let copied = buf.append(&self.out);
        debug_assert!(copied, "room was made above");
        if self.form == Form::Chunked {
            encode(&mut buf, ending, self.pool);
        }
        buf
    }

    /// Composes the head of an answer in JSON.
    fn begin(&mut self) {
        let ResponseCodec::Json(json) = &mut self.words else { return };
        json.compose(&mut *self.inner, &mut self.form);
        if json.is_bodiless() {
            self.out.clear();
        }
    }

    /// Sends a whole answer in JSON behind its head.
    async fn commit_out(&mut self, until: Tick) -> Result<(), Fault> {
        let buf = self.taken(Ending::BARE);
        let (sent, buf) = self.inner.commit(buf, Ending::BARE, until).await;
        self.pool.put(buf);
        sent
    }

    /// The trailers of a server that ended without a status, with one of ours: a caller may take none for success.
    fn supply(&mut self, ending: Ending<'_>) -> Option<Vec<u8>> {
        let Ending::Last(trailers) = ending else { return None };
        let framed = match &self.words {
            ResponseCodec::Checked(_) => true,
            ResponseCodec::Web(web) => web.framed,
            ResponseCodec::Json(_) => false,
        };
        if !self.owes_status || !self.bodied || !framed || End::read_lines(trailers).is_some() {
            return None;
        }
        self.supplied = true;
        let mut lines = Vec::new();
        let others = status::lines(trailers).filter(|(name, _)| !is_name(name, status::STATUS.as_bytes()));
        others.for_each(|(name, value)| web::write_line(name, value, &mut lines));
        NO_STATUS.write_lines(&mut lines);
        Some(lines)
    }

    /// Sends content in the caller's words. `commits` where the head goes in front.
    async fn pass(&mut self, mut buf: Buf, ending: Ending<'_>, until: Tick, first: First) -> (Result<(), Fault>, Buf) {
        self.out.clear();
        let supplied = self.supply(ending);
        let ending = supplied.as_deref().map_or(ending, Ending::Last);
        match &mut self.words {
            ResponseCodec::Checked(scanner) => {
                if let Err(offence) = scanner.advance(buf.filled()) {
                    return (Err(self.wrong.offend(offence, FaultKind::UpstreamProtocol)), buf);
                }
                if self.form == Form::Chunked && self.bodied {
                    encode(&mut buf, ending, self.pool);
                }
                return self.send(buf, ending, until, first).await;
            }
            ResponseCodec::Web(web) if !web.framed || !self.bodied => {
                if self.form == Form::Chunked && self.bodied {
                    encode(&mut buf, ending, self.pool);
                }
                return self.send(buf, ending, until, first).await;
            }
            ResponseCodec::Web(web) => {
                let pushed = web.encoder.push(buf.filled(), &mut self.out);
                let ended = pushed.and_then(|()| match ending {
                    Ending::More => Ok(()),
                    Ending::Last(trailers) => web.encoder.trailers(&lower(trailers), &mut self.out),
                });
                if let Err(offence) = ended {
                    return (Err(self.wrong.offend(offence, FaultKind::UpstreamProtocol)), buf);
                }
                web.between = web.encoder.is_between();
            }
            ResponseCodec::Json(json) => {
                if let Err(refusal) = json.push(buf.filled(), ending, &mut self.out) {
                    return (Err(self.wrong.refuse(refusal, FaultKind::UpstreamProtocol)), buf);
                }
                return self.pass_json(buf, until).await;
            }
        }
        let ending = if ending == Ending::More { Ending::More } else { Ending::BARE };
        if self.out.is_empty() && ending == Ending::More && first == First::No {
            return (Ok(()), buf);
        }
        if self.out.is_empty() && ending == Ending::More {
            // Only the head goes; the buffer comes back for what follows it.
            buf.reset(ROOM);
            return self.send(buf, ending, until, first).await;
        }
        let made = self.taken(ending);
        self.pool.put(buf);
        self.send(made, ending, until, first).await
    }

    async fn pass_json(&mut self, buf: Buf, until: Tick) -> (Result<(), Fault>, Buf) {
        let ResponseCodec::Json(json) = &mut self.words else { return (Ok(()), buf) };
        let Some(sends) = json.step() else { return (Ok(()), buf) };
        let first = if sends.head { First::Yes } else { First::No };
        if sends.head {
            self.begin();
        }
        let ending = if sends.last { Ending::BARE } else { Ending::More };
        let made = self.taken(ending);
        self.pool.put(buf);
        self.send(made, ending, until, first).await
    }

    /// With or without a head in front.
    async fn send(&mut self, buf: Buf, ending: Ending<'_>, until: Tick, first: First) -> (Result<(), Fault>, Buf) {
        self.committed |= first == First::Yes;
        match first {
            First::Yes => self.inner.commit(buf, ending, until).await,
            First::No => self.inner.write(buf, ending, until).await,
        }
    }
}

/// Does the head go in front?
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Yes,
    No,
}

/// What a caller is told where the server did not say how the call ended.
const NO_STATUS: End<'static> = End::plain(Code::Unknown, "the server ended without a status");

/// Room in front of and behind what was made, for the chunked coding.
const ROOM: usize = 64;

/// Trailers of HTTP/1 may have names in any case.
fn lower(trailers: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(trailers.len());
    status::lines(trailers).for_each(|(name, value)| web::write_line(name, value, &mut lines));
    lines
}

impl<K: Client> BodySink for ToCaller<'_, K> {
    const HOLDS_BACK: bool = K::HOLDS_BACK;

    async fn write(&mut self, buf: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        self.pass(buf, ending, until, First::No).await
    }

    async fn flush(&mut self, until: Tick) -> Result<(), Fault> {
        self.inner.flush(until).await
    }

    fn finish(&self) {
        self.inner.finish();
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<K: Client> Client for ToCaller<'_, K> {
    fn framing(&self, length: BodyLength) -> (BodyLength, Form) {
        let length = match (&self.words, length) {
            (_, BodyLength::None) => BodyLength::None,
            (ResponseCodec::Checked(_), length) => length,
            (ResponseCodec::Web(_) | ResponseCodec::Json(_), _) => BodyLength::Chunked,
        };
        (self.inner.framing(length).0, Form::Plain)
    }

    fn takes_interim(&self) -> bool {
        self.inner.takes_interim()
    }

    fn close_after(&mut self) {
        self.inner.close_after();
    }

    fn compose(&mut self, outgoing: Outgoing<'_>) {
        self.interim = outgoing.response.head.status < 200 || outgoing.upgrades;
        if self.interim {
            return self.inner.compose(outgoing);
        }
        self.form = self.inner.framing(outgoing.length).1;
        self.bodied = outgoing.length != BodyLength::None;
        let head = &outgoing.response.head;
        let said = call::code_of(outgoing.response).is_some();
        let content_type = outgoing.response.value(Known::ContentType).unwrap_or_default();
        self.owes_status = head.status == 200 && !said && Media::of(content_type) == Some(Media::Grpc);
        let mut with_status;
        let outgoing = match self.owes_status && !self.bodied && !matches!(self.words, ResponseCodec::Json(_)) {
            true => {
                self.supplied = true;
                with_status = outgoing.patch.clone();
                for (name, value) in NO_STATUS.fields() {
                    with_status.add(name.as_bytes(), value);
                }
                Outgoing { patch: &with_status, ..outgoing }
            }
            false => outgoing,
        };
        match &mut self.words {
            ResponseCodec::Checked(_) => self.inner.compose(outgoing),
            ResponseCodec::Web(web) => {
                let content_type = outgoing.response.value(Known::ContentType).unwrap_or_default();
                web.framed = Media::of(content_type) == Some(Media::Grpc);
                if !web.framed {
                    return self.inner.compose(outgoing);
                }
                let patch = web.patch(&outgoing);
                self.inner.compose(Outgoing { patch: &patch, ..outgoing });
            }
            ResponseCodec::Json(json) => json.head(outgoing),
        }
    }

    fn begun(&self) -> bool {
        self.inner.begun()
    }

    async fn commit(&mut self, first: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if std::mem::take(&mut self.interim) {
            return self.inner.commit(first, ending, until).await;
        }
        self.pass(first, ending, until, First::Yes).await
    }
}
