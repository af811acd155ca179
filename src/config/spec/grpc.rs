//! `grpc` of a route.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::place::Placed;
use crate::config::spec::scalar::{Size, Time};
use crate::config::spec::shape::{Many, Short, ShortOr, table};

table! {
    /// What is done for calls of gRPC beyond passing them on. Any route passes them on, tells its own failures by
    /// `grpc-status` and keeps `grpc-timeout`. With this, messages are bounded one by one instead of `limits.body` all
    /// together, and streams may be silent for as long as `timeouts.tunnel`. The upstream has to speak HTTP/2.
    pub struct GrpcSpec {
        /// A message of the caller; above it `RESOURCE_EXHAUSTED`.
        request_message: Size = Size(4 * 1024 * 1024),
        /// A message of the server; above it `RESOURCE_EXHAUSTED`.
        response_message: Size = Size(4 * 1024 * 1024),
        /// Take gRPC-Web, binary and text, from browsers. Pages of other origins need a policy `cors` beside it, which
        /// then lets them read `grpc-status` and `grpc-message`, too.
        web: bool = false,
        /// Take JSON as well, by the `google.api.http` rules of a descriptor set: the file's path, or a table such as
        /// `{ reflection = true }`.
        json: Option<Placed<ShortOr<JsonSpec>>> = None,
    }
}

impl Short for GrpcSpec {
    const EXPECTED: &'static str = "`true`, or a table such as { web = true, json = \"api.pb\" }";

    fn of_text(_: &str) -> Result<GrpcSpec, String> {
        Err("this is a text".to_owned())
    }

    // tidy(bool): it is the value that was written.
    fn of_truth(truth: bool) -> Option<GrpcSpec> {
        truth.then(GrpcSpec::default)
    }
}

table! {
    /// JSON in the place of gRPC. A request in JSON may be as long as `limits.body`, at most 16MiB. Whatever fails, at
    /// the server, in a policy or at the gateway, is answered with a `google.rpc.Status` in JSON.
    pub struct JsonSpec {
        /// The descriptor set, relative to this configuration file, as of
        /// `protoc --include_imports --descriptor_set_out=FILE`.
        descriptors: Placed<PathBuf> = Placed::nowhere(PathBuf::new()),
        /// Without a file: ask the upstream's servers by `grpc.reflection` (`v1`, or `v1alpha` where they know only
        /// that): `true`, or a table. Until one has told, requests in JSON get 503 and the log says why. Where the
        /// route has several upstreams, the first is asked.
        reflection: Option<Placed<ShortOr<ReflectionSpec>>> = None,
        /// Services to serve, by full name; without it all that there are.
        services: Many<String> = Many::default(),
        /// Names of fields in answers: `lowerCamelCase`, or as in the `.proto` file. Requests may use both.
        names: JsonNames = JsonNames::Json,
        /// Enum values in answers. Requests may use both.
        enums: JsonEnums = JsonEnums::Names,
        /// 64-bit integers in answers. Requests may use both.
        large_integers: JsonIntegers = JsonIntegers::Strings,
        /// Write fields that have their default value.
        defaults: bool = false,
        /// Ignore query parameters and members of the body that are no field, instead of refusing them with 400.
        ignore_unknown: bool = false,
        /// Query parameters that are ignored in any case, such as those of a cache or of analytics.
        ignored_query: Many<String> = Many::default(),
        /// Methods without a rule can be called, too: `POST /package.Service/Method`.
        unannotated: bool = false,
        /// How the messages of a server that streams are written where `Accept` names no form.
        stream: JsonStream = JsonStream::Ndjson,
    }
}

impl Short for JsonSpec {
    const EXPECTED: &'static str = "the path of a descriptor set, or a table with `descriptors` or `reflection`";

    fn of_text(text: &str) -> Result<JsonSpec, String> {
        Ok(JsonSpec { descriptors: Placed::nowhere(text.into()), ..JsonSpec::default() })
    }
}

table! {
    /// How servers are asked for their descriptors.
    pub struct ReflectionSpec {
        /// How often they are asked again. What was told stays in use until a server tells something else.
        refresh: Placed<Time> = Placed::nowhere(Time(Duration::from_secs(60))),
        /// Longest wait until one server has told everything.
        timeout: Placed<Time> = Placed::nowhere(Time(Duration::from_secs(5))),
    }
}

impl Short for ReflectionSpec {
    const EXPECTED: &'static str = "`true`, or a table such as { refresh = \"1m\" }";

    fn of_text(_: &str) -> Result<ReflectionSpec, String> {
        Err("this is a text".to_owned())
    }

    // tidy(bool): it is the value that was written.
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
