//! `grpc` of a route: caps, gRPC-Web, and the transcoder for JSON, which is compiled here once to see that it can be.

use std::sync::Arc;

use crate::base::limits::{REFLECTION_BYTES_MAX, TRANSCODE_BODY_BYTES_MAX};
use crate::config::compile::Compiler;
use crate::config::place::Placed;
use crate::config::plan::{GrpcPlan, HttpVersions, TranscoderId, TranscoderPlan, UpstreamId, WebCalls};
use crate::config::report::Report;
use crate::config::spec::grpc::{GrpcSpec, JsonEnums, JsonIntegers, JsonNames, JsonSpec, JsonStream};
use crate::config::spec::route::RouteSpec;
use crate::config::spec::scalar::Size;
use crate::config::spec::shape::ShortOr;
use crate::wire::grpc::json::{
    Defaults, Enums, LargeIntegers, Names, Options, StreamForm, Transcoder, Unannotated, Unknown,
};

impl Compiler<'_> {
    /// What a route does for calls that go to `upstreams`.
    pub(super) fn grpc(
        &mut self,
        spec: &Placed<ShortOr<GrpcSpec>>,
        route: &RouteSpec,
        upstreams: &[UpstreamId],
    ) -> GrpcPlan {
        for id in upstreams {
            let upstream = &self.upstreams[id.0 as usize];
            if upstream.http == HttpVersions::Http1 {
                let title = format!("calls of gRPC need HTTP/2, which `{}` is not spoken to in", upstream.name);
                self.faults.push(Report::error(spec.place, title).help("`http = \"2\"` in `[upstream.NAME]`"));
            }
        }
        let grpc = &spec.value.0;
        GrpcPlan {
            request_bytes_max: message_bytes(&grpc.request_message),
            response_bytes_max: message_bytes(&grpc.response_message),
            web: if grpc.web { WebCalls::Taken } else { WebCalls::Passed },
            json: grpc.json.as_ref().and_then(|json| self.transcoder(json, grpc, route)),
        }
    }

    fn transcoder(
        &mut self,
        spec: &Placed<ShortOr<JsonSpec>>,
        grpc: &GrpcSpec,
        route: &RouteSpec,
    ) -> Option<TranscoderId> {
        let json = &spec.value.0;
        let path = &json.descriptors;
        if path.value.as_os_str().is_empty() {
            self.absent(spec.place, Report::error(spec.place, "`descriptors` is missing"));
            return None;
        }
        let file = if path.place.file == 0 && path.place == Default::default() { spec.place } else { path.place };
        let path = Placed { value: path.value.clone(), place: file };
        let full = self.beside(&path);
        let bytes = match self.environment.read(&full, REFLECTION_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.error(path.place, format!("cannot read `{}`: {fault}", full.display()));
                return None;
            }
        };
        self.watched.push(full);
        let body = route.limits.over(&self.limits).body.some().map_or(u64::MAX, |size| size.0);
        let options = options(json, grpc, body.min(TRANSCODE_BODY_BYTES_MAX) as usize);
        if let Err(faults) = Transcoder::from_descriptor_set(&bytes, options.clone()) {
            for fault in faults {
                self.error(path.place, fault.to_string());
            }
            return None;
        }
        self.transcoders.push(TranscoderPlan { descriptors: Arc::from(bytes), options });
        Some(TranscoderId(self.transcoders.len() as u32 - 1))
    }
}

/// A message's length is four bytes on the wire.
fn message_bytes(size: &Size) -> u32 {
    u32::try_from(size.0).unwrap_or(u32::MAX)
}

fn options(spec: &JsonSpec, grpc: &GrpcSpec, body_bytes_max: usize) -> Options {
    let unknown = if spec.ignore_unknown { Unknown::Ignore } else { Unknown::Refuse };
    Options {
        services: spec.services.0.clone(),
        names: match spec.names {
            JsonNames::Json => Names::Json,
            JsonNames::Proto => Names::Proto,
        },
        enums: match spec.enums {
            JsonEnums::Names => Enums::Names,
            JsonEnums::Numbers => Enums::Numbers,
        },
        large_integers: match spec.large_integers {
            JsonIntegers::Strings => LargeIntegers::Strings,
            JsonIntegers::Numbers => LargeIntegers::Numbers,
        },
        defaults: if spec.defaults { Defaults::Print } else { Defaults::Skip },
        unknown_query: unknown,
        unknown_fields: unknown,
        unannotated: if spec.unannotated { Unannotated::Post } else { Unannotated::Skip },
        stream_form: match spec.stream {
            JsonStream::Ndjson => StreamForm::Lines,
            JsonStream::Sse => StreamForm::Events,
            JsonStream::Array => StreamForm::Array,
        },
        request_bytes_max: body_bytes_max,
        response_bytes_max: message_bytes(&grpc.response_message),
        ..Options::default()
    }
}
