// SPDX-License-Identifier: Apache-2.0
//! `grpc` of a route.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Size, Time};
use crate::config::spec::shape::{Many, Short, ShortOr, table};

table! {
    /// What the gateway does for gRPC calls beyond forwarding them. Every route forwards them, reports its own errors
    /// as `grpc-status` and keeps `grpc-timeout`. With this, the size limit applies to each message instead of
    /// `limits.body` to the whole body, and streams may be idle for as long as `timeouts.tunnel`. The upstream has to
    /// speak HTTP/2.
    pub struct GrpcSpec {
        /// A message of the caller; above it `RESOURCE_EXHAUSTED`.
        request_message: Size = Size(4 * 1024 * 1024),
        /// A message of the server; above it `RESOURCE_EXHAUSTED`.
        response_message: Size = Size(4 * 1024 * 1024),
        /// Accept gRPC-Web, binary and text, from browsers. Pages of other origins also need a `cors` policy; it then
        /// lets them read `grpc-status` and `grpc-message` too.
        web: bool = false,
        /// Transcode JSON to gRPC by the `google.api.http` rules of a descriptor set: the file's path, or a table such
        /// as `{ reflection = true }`.
        json: Option<Located<ShortOr<JsonSpec>>> = None,
    }
}

impl Short for GrpcSpec {
    const EXPECTED: &'static str = "`true`, or a table such as { web = true, json = \"api.pb\" }";

    fn of_text(_: &str) -> Result<GrpcSpec, String> {
        Err("this is a text".to_owned())
    }

    // tidy(bool): it is the value in the file.
    fn of_truth(truth: bool) -> Option<GrpcSpec> {
        truth.then(GrpcSpec::default)
    }
}

table! {
    /// JSON transcoding. A JSON request may be as long as `limits.body`, at most 16MiB. An error from the server, a
    /// policy (also of the listener) or the gateway becomes a `google.rpc.Status` in JSON. Messages are JSON as
    /// protobuf's JSON mapping says; a name or a field that stands twice gets 400. An `Any` of a type that the
    /// descriptors do not have keeps its bytes, in base64 as `value`. In paths and queries, truth values may be `true`,
    /// `t` or `1` (`false`, `f`, `0`) in either case, and a `FieldMask` may repeat and name fields as the `.proto` file
    /// does. HEAD takes a rule for GET. A path that has rules for other methods only gets 405 with `Allow`, and a body
    /// with a `Content-Encoding` gets 415.
    pub struct JsonSpec {
        /// The descriptor set, relative to this configuration file, as of
        /// `protoc --include_imports --descriptor_set_out=FILE`.
        descriptors: Located<PathBuf> = Located::nowhere(PathBuf::new()),
        /// Instead of a file: ask the upstream's servers for descriptors by `grpc.reflection` (`v1`, or `v1alpha` where
        /// they know only that): `true`, or a table. Until a server has sent them, JSON requests get 503 and the log
        /// says why. A rule that cannot be followed is left out, and the log says so. Where the route has several
        /// upstreams, the first is asked.
        reflection: Option<Located<ShortOr<ReflectionSpec>>> = None,
        /// Services to serve, by full name; without it all that there are.
        services: Many<String> = Many::default(),
        /// Names of fields in responses: `lowerCamelCase`, or as in the `.proto` file. Requests may use both.
        names: JsonNames = JsonNames::Json,
        /// Enum values in responses: by name or by number. Requests may use both.
        enums: JsonEnums = JsonEnums::Names,
        /// 64-bit integers in responses: as strings or as numbers. Requests may use both.
        large_integers: JsonIntegers = JsonIntegers::Strings,
        /// Write fields that have their default value.
        defaults: bool = false,
        /// Ignore unknown query parameters and body members instead of refusing the request with 400.
        ignore_unknown: bool = false,
        /// Query parameters that are always ignored, such as those of a cache or of analytics.
        ignored_query: Many<String> = Many::default(),
        /// Methods without a rule can be called, too: `POST /package.Service/Method`.
        unannotated: bool = false,
        /// How the messages of a streaming response are written where `Accept` does not choose.
        stream: JsonStream = JsonStream::Ndjson,
    }
}

impl Short for JsonSpec {
    const EXPECTED: &'static str = "the path of a descriptor set, or a table with `descriptors` or `reflection`";

    fn of_text(text: &str) -> Result<JsonSpec, String> {
        Ok(JsonSpec { descriptors: Located::nowhere(text.into()), ..JsonSpec::default() })
    }
}

table! {
    /// How servers are asked for their descriptors.
    pub struct ReflectionSpec {
        /// How often they are asked again. The last descriptors stay in use until a server sends different ones.
        refresh: Located<Time> = Located::nowhere(Time(Duration::from_secs(60))),
        /// Longest wait for all descriptors of one server.
        timeout: Located<Time> = Located::nowhere(Time(Duration::from_secs(5))),
    }
}

impl Short for ReflectionSpec {
    const EXPECTED: &'static str = "`true`, or a table such as { refresh = \"1m\" }";

    fn of_text(_: &str) -> Result<ReflectionSpec, String> {
        Err("this is a text".to_owned())
    }

    // tidy(bool): it is the value in the file.
    fn of_truth(truth: bool) -> Option<ReflectionSpec> {
        truth.then(ReflectionSpec::default)
    }
}

/// Names of fields in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum JsonNames {
    /// `lowerCamelCase`, or what `json_name` says.
    #[default]
    Json,
    /// As in the `.proto` file.
    Proto,
}

/// Enum values in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum JsonEnums {
    /// Their names.
    #[default]
    Names,
    /// Their numbers.
    Numbers,
}

/// 64-bit integers in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum JsonIntegers {
    /// As strings: a double cannot hold them all.
    #[default]
    Strings,
    /// As numbers.
    Numbers,
}

/// How messages of a stream are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum JsonStream {
    /// One a line, `application/x-ndjson`.
    #[default]
    Ndjson,
    /// Server-sent events, `text/event-stream`.
    Sse,
    /// One array, `application/json`.
    Array,
}
