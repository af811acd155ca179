// SPDX-License-Identifier: Apache-2.0
//! What a user may choose about transcoding.

use crate::base::limits::{GRPC_MESSAGE_BYTES, TRANSCODE_BYTES, TRANSCODE_DEPTH_MAX, TRANSCODE_VALUES};

/// Names of fields in JSON that we write. Both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `lowerCamelCase`, or what `json_name` says.
    Json,
    /// As in the `.proto` file.
    Proto,
}

/// Enum values in JSON that we write. Both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enums {
    /// Their names.
    Names,
    /// Their numbers.
    Numbers,
}

/// 64-bit integers in JSON that we write. Both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeIntegers {
    /// As strings, because a double cannot hold them all.
    Strings,
    /// As numbers.
    Numbers,
}

/// Fields with their default value in JSON that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// Left out.
    Skip,
    /// Written, where the field does not tell default from absent.
    Print,
}

/// What a request names that its message does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// 400.
    Refuse,
    /// As if it were not there.
    Ignore,
}

/// Methods without a `google.api.http` rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unannotated {
    /// Cannot be called with JSON.
    Skip,
    /// `POST /package.Service/Method` with the whole message as body.
    Post,
}

/// How the messages of a server stream stand in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamForm {
    /// One a line (`application/x-ndjson`).
    Lines,
    /// As server-sent events (`text/event-stream`).
    Events,
    /// As elements of one array (`application/json`).
    Array,
}

impl StreamForm {
    /// The media type of the body.
    pub const fn content_type(self) -> &'static str {
        match self {
            StreamForm::Lines => "application/x-ndjson",
            StreamForm::Events => "text/event-stream",
            StreamForm::Array => "application/json",
        }
    }

    /// The form that an `Accept` asks for by name; `otherwise` where it asks for none of them.
    pub fn accepted(accept: &[u8], otherwise: StreamForm) -> StreamForm {
        let names = |form: StreamForm| {
            let mut ranges = accept.split(|byte| *byte == b',');
            ranges.any(|range| {
                let name = range.split(|byte| *byte == b';').next().unwrap_or_default();
                name.trim_ascii().eq_ignore_ascii_case(form.content_type().as_bytes())
            })
        };
        [StreamForm::Events, StreamForm::Lines].into_iter().find(|form| names(*form)).unwrap_or(otherwise)
    }
}

/// What may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Services to serve, by full name; all of the descriptor set where there are none.
    pub services: Vec<String>,
    /// Names of fields that we write.
    pub names: Names,
    /// Enum values that we write.
    pub enums: Enums,
    /// 64-bit integers that we write.
    pub large_integers: LargeIntegers,
    /// Default values that we write.
    pub defaults: Defaults,
    /// Query parameters that are no field.
    pub unknown_query: Unknown,
    /// Query parameters that are ignored in any case.
    pub ignored_query: Vec<String>,
    /// Members of the body that are no field.
    pub unknown_fields: Unknown,
    /// Methods without a rule.
    pub unannotated: Unannotated,
    /// How server streams are written where the client does not say.
    pub stream_form: StreamForm,
    /// Largest JSON text of one request message; above it 413.
    pub request_bytes_max: usize,
    /// Largest message of a response; above it 500.
    pub response_bytes_max: u32,
    /// Most values in one message; above it 413 or 500.
    pub values_max: usize,
    /// Deepest nesting, at most `TRANSCODE_DEPTH_MAX`; above it 400 or 500.
    pub depth_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            services: Vec::new(),
            names: Names::Json,
            enums: Enums::Names,
            large_integers: LargeIntegers::Strings,
            defaults: Defaults::Skip,
            unknown_query: Unknown::Refuse,
            ignored_query: Vec::new(),
            unknown_fields: Unknown::Refuse,
            unannotated: Unannotated::Skip,
            stream_form: StreamForm::Lines,
            request_bytes_max: TRANSCODE_BYTES,
            response_bytes_max: GRPC_MESSAGE_BYTES,
            values_max: TRANSCODE_VALUES,
            depth_max: TRANSCODE_DEPTH_MAX,
        }
    }
}
