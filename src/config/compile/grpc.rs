// SPDX-License-Identifier: Apache-2.0
//! `grpc` of a route: caps, gRPC-Web, and the JSON transcoder. Where its descriptors are a file, it is compiled here
//! once to find errors.

use std::sync::Arc;
use std::time::Duration;

use crate::base::UpstreamId;
use crate::base::limits::{REFLECTION_BYTES_MAX, TRANSCODE_BODY_BYTES_MAX};
use crate::config::compile::Compiler;
use crate::config::location::Located;
use crate::config::plan::{
    Descriptors, GrpcPlan, HttpVersions, ReflectionPlan, ReflectionSource, TranscoderId, TranscoderPlan, WebCalls,
};
use crate::config::report::Report;
use crate::config::spec::grpc::{GrpcSpec, JsonEnums, JsonIntegers, JsonNames, JsonSpec, JsonStream, ReflectionSpec};
use crate::config::spec::route::RouteSpec;
use crate::config::spec::scalar::Size;
use crate::config::spec::shape::ShortOr;
use crate::wire::grpc::json::{
    Defaults, Enums, LargeIntegers, Names, Options, StreamForm, Transcoder, Unannotated, Unknown,
};

/// The shortest interval at which a server may be asked.
const REFRESH_MIN: Duration = Duration::from_millis(100);

impl Compiler<'_> {
    /// Compiles `grpc` of the route `name`, whose calls go to `upstreams`.
    pub(super) fn grpc(
        &mut self,
        spec: &Located<ShortOr<GrpcSpec>>,
        name: &str,
        route: &RouteSpec,
        upstreams: &[UpstreamId],
    ) -> GrpcPlan {
        for id in upstreams {
            let upstream = &self.upstreams[id.0 as usize];
            if upstream.http == HttpVersions::Http1 {
                let title = format!("calls of gRPC need HTTP/2, which `{}` is not spoken to in", upstream.name);
                self.faults.push(Report::error(spec.location, title).help("`http = \"2\"` in `[upstream.NAME]`"));
            }
        }
        let grpc = &spec.value.0;
        GrpcPlan {
            request_bytes_max: message_bytes(&grpc.request_message),
            response_bytes_max: message_bytes(&grpc.response_message),
            web: if grpc.web { WebCalls::Taken } else { WebCalls::Passed },
            json: grpc.json.as_ref().and_then(|json| {
                let body = route.limits.over(&self.limits).body.some().map_or(u64::MAX, |size| size.0);
                let options = options(&json.value.0, grpc, body.min(TRANSCODE_BODY_BYTES_MAX) as usize);
                let descriptors = match &json.value.0.reflection {
                    Some(reflection) => self.reflection(json, reflection, upstreams.first()),
                    None => self.descriptors(json, &options),
                };
                self.transcoders.push(TranscoderPlan { route: name.into(), descriptors: descriptors?, options });
                Some(TranscoderId(self.transcoders.len() as u32 - 1))
            }),
        }
    }

    /// The descriptors of a file. They are compiled once to find errors.
    fn descriptors(&mut self, spec: &Located<ShortOr<JsonSpec>>, options: &Options) -> Option<Descriptors> {
        let path = &spec.value.0.descriptors;
        if path.value.as_os_str().is_empty() {
            self.absent(spec.location, Report::error(spec.location, "neither `descriptors` nor `reflection` is there"));
            return None;
        }
        let file =
            if path.location.file == 0 && path.location == Default::default() { spec.location } else { path.location };
        let path = Located { value: path.value.clone(), location: file };
        let full = self.beside(&path);
        let bytes = match self.environment.read(&full, REFLECTION_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.error(path.location, format!("cannot read `{}`: {fault}", full.display()));
                return None;
            }
        };
        self.watched.push(full);
        if let Err(faults) = Transcoder::from_descriptor_set(&bytes, options.clone()) {
            for fault in faults {
                self.error(path.location, fault.to_string());
            }
            return None;
        }
        Some(Descriptors::Known(Arc::from(bytes)))
    }

    /// Descriptors by server reflection.
    fn reflection(
        &mut self,
        spec: &Located<ShortOr<JsonSpec>>,
        reflection: &Located<ShortOr<ReflectionSpec>>,
        upstream: Option<&UpstreamId>,
    ) -> Option<Descriptors> {
        if !spec.value.0.descriptors.value.as_os_str().is_empty() {
            self.error(
                reflection.location,
                "`descriptors` are given, so nobody needs to be asked: only one of the two",
            );
        }
        let ReflectionSpec { refresh, timeout } = &reflection.value.0;
        if refresh.value.0 < REFRESH_MIN {
            self.error(refresh.location, "a server is asked again after 100ms at the earliest");
        }
        if timeout.value.0.is_zero() {
            self.error(timeout.location, "a server needs some time to answer");
        }
        let upstream = Arc::clone(&self.upstreams[upstream?.0 as usize].name);
        let source = Arc::new(ReflectionSource { upstream, services: spec.value.0.services.0.clone() });
        Some(Descriptors::Asked(ReflectionPlan { source, refresh: refresh.value.0, timeout: timeout.value.0 }))
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
        ignored_query: spec.ignored_query.0.clone(),
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
