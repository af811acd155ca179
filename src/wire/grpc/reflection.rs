// SPDX-License-Identifier: Apache-2.0
//! Server reflection (`grpc.reflection.v1` and `v1alpha`, which have the same messages) without I/O: what to ask next,
//! and a descriptor set from the answers.
//!
//! One bidirectional call: `Walk::ask` writes a message, its answer goes to `Walk::take`, until `Walk::finish` has all
//! files. Servers are believed nothing: files, services and bytes are counted, and each file is asked for once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use prost::Message;

use crate::base::limits::{REFLECTION_BYTES_MAX, REFLECTION_FILES_MAX};
use crate::wire::grpc::message;

/// The path of the call in the present version.
pub(crate) const PATH: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// The path in the older version, for servers that answer the other with `UNIMPLEMENTED`.
pub(crate) const PATH_ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// Something to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReflectionRequest {
    /// The names of all services.
    Services,
    /// The file with this symbol, and what it imports.
    Symbol(String),
    /// The file with this name.
    File(String),
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReflectionResponse {
    /// Serialised `FileDescriptorProto`s.
    Files(Vec<Vec<u8>>),
    /// Names of services.
    Services(Vec<String>),
    /// It cannot say.
    Error {
        /// A gRPC status code's number.
        code: i32,
        /// In its words.
        message: String,
    },
    /// Something else, which nobody asked for.
    Other,
}

/// Why a server's files could not be learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReflectionError {
    /// An answer or a file is not what the protocol says.
    Malformed,
    /// More files, services or bytes than we take.
    TooMuch,
    /// An answer to something that was not asked.
    Unexpected,
    /// The server refused a question.
    Refused {
        /// What was asked.
        question: ReflectionRequest,
        /// A gRPC status code's number.
        code: i32,
        /// In the server's words.
        message: String,
    },
}

impl fmt::Display for ReflectionError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReflectionError::Malformed => out.write_str("the server's answer is not one of the reflection protocol"),
            ReflectionError::TooMuch => {
                write!(out, "the server has more than {REFLECTION_FILES_MAX} files or {REFLECTION_BYTES_MAX} bytes")
            }
            ReflectionError::Unexpected => out.write_str("the server answered what was not asked"),
            ReflectionError::Refused { question, code, message } => {
                write!(out, "the server refused {question:?} with status {code}: {message}")
            }
        }
    }
}

/// Learns the files of some services.
#[derive(Debug)]
pub(crate) struct Walk {
    host: String,
    questions: Vec<ReflectionRequest>,
    asked: BTreeSet<ReflectionRequest>,
    pending: Option<ReflectionRequest>,
    /// By name, so that the same files are the same set, in whatever order they came.
    files: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl Walk {
    /// For these services; for all that the server lists where there are none.
    pub(crate) fn new(host: &str, services: &[String]) -> Walk {
        let mut questions: Vec<ReflectionRequest> =
            services.iter().rev().cloned().map(ReflectionRequest::Symbol).collect();
        if questions.is_empty() {
            questions.push(ReflectionRequest::Services);
        }
        Walk {
            host: host.to_owned(),
            questions,
            asked: BTreeSet::new(),
            pending: None,
            files: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Appends the next question as one message with its prefix. False where there is none left.
    pub(crate) fn ask(&mut self, out: &mut Vec<u8>) -> bool {
        while let Some(question) = self.questions.pop() {
            let known = matches!(&question, ReflectionRequest::File(name) if self.files.contains_key(name));
            if known || !self.asked.insert(question.clone()) {
                continue;
            }
            write(&self.host, &question, out);
            self.pending = Some(question);
            return true;
        }
        false
    }

    /// Takes the payload of the answer to the last question.
    pub(crate) fn take(&mut self, payload: &[u8]) -> Result<(), ReflectionError> {
        let question = self.pending.take().ok_or(ReflectionError::Unexpected)?;
        match (read(payload)?, question) {
            (ReflectionResponse::Services(names), ReflectionRequest::Services) => {
                let own = |name: &String| name.starts_with("grpc.reflection.");
                self.questions.extend(names.into_iter().filter(|name| !own(name)).map(ReflectionRequest::Symbol));
                self.bounded()
            }
            (ReflectionResponse::Files(files), ReflectionRequest::Symbol(_) | ReflectionRequest::File(_)) => {
                files.into_iter().try_for_each(|file| self.file(file))
            }
            // Everybody knows these, also where the server does not have them at hand.
            (ReflectionResponse::Error { .. }, ReflectionRequest::File(name))
                if name.starts_with("google/protobuf/") =>
            {
                Ok(())
            }
            (ReflectionResponse::Error { code, message }, question) => {
                Err(ReflectionError::Refused { question, code, message })
            }
            (ReflectionResponse::Services(_) | ReflectionResponse::Files(_) | ReflectionResponse::Other, _) => {
                Err(ReflectionError::Unexpected)
            }
        }
    }

    /// The serialised `FileDescriptorSet` of all files.
    pub(crate) fn finish(self) -> Vec<u8> {
        Files { files: self.files.into_values().collect() }.encode_to_vec()
    }

    fn file(&mut self, bytes: Vec<u8>) -> Result<(), ReflectionError> {
        let file = File::decode(bytes.as_slice()).map_err(|_| ReflectionError::Malformed)?;
        if self.files.contains_key(&file.name) {
            return Ok(());
        }
        self.bytes += bytes.len();
        self.files.insert(file.name, bytes);
        self.questions.extend(file.dependencies.into_iter().map(ReflectionRequest::File));
        self.bounded()
    }

    fn bounded(&self) -> Result<(), ReflectionError> {
        let count = self.files.len().max(self.questions.len() / 16);
        let within = count <= REFLECTION_FILES_MAX && self.bytes <= REFLECTION_BYTES_MAX;
        if within { Ok(()) } else { Err(ReflectionError::TooMuch) }
    }
}

/// Appends a question as one message with its prefix.
pub(crate) fn write(host: &str, question: &ReflectionRequest, out: &mut Vec<u8>) {
    let mut request = Request { host: host.to_owned(), ..Request::default() };
    match question {
        ReflectionRequest::Services => request.list_services = Some("*".to_owned()),
        ReflectionRequest::Symbol(name) => request.file_containing_symbol = Some(name.clone()),
        ReflectionRequest::File(name) => request.file_by_filename = Some(name.clone()),
    }
    let at = message::begin(out);
    // A vector grows as it has to.
    let _ = request.encode(out);
    message::end(at, out);
}

/// Reads the payload of an answer.
pub(crate) fn read(payload: &[u8]) -> Result<ReflectionResponse, ReflectionError> {
    let response = Response::decode(payload).map_err(|_| ReflectionError::Malformed)?;
    Ok(match response {
        Response { error: Some(error), .. } => ReflectionResponse::Error { code: error.code, message: error.message },
        Response { files: Some(files), .. } => ReflectionResponse::Files(files.files),
        Response { services: Some(services), .. } => {
            ReflectionResponse::Services(services.services.into_iter().map(|service| service.name).collect())
        }
        Response { files: None, services: None, error: None } => ReflectionResponse::Other,
    })
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, optional, tag = "3")]
    file_by_filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
    #[prost(string, optional, tag = "7")]
    list_services: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "4")]
    files: Option<Files>,
    #[prost(message, optional, tag = "6")]
    services: Option<Services>,
    #[prost(message, optional, tag = "7")]
    error: Option<Failure>,
}

/// `FileDescriptorResponse`, and `FileDescriptorSet`, which has the same shape.
#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<Service>,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Failure {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// What is needed of a `FileDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    dependencies: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &[&str])]) -> Vec<u8> {
        let file = |(name, dependencies): &(&str, &[&str])| {
            let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
            File { name: (*name).to_owned(), dependencies }.encode_to_vec()
        };
        let files = Some(Files { files: files.iter().map(file).collect() });
        Response { files, ..Response::default() }.encode_to_vec()
    }

    fn services(names: &[&str]) -> Vec<u8> {
        let services = names.iter().map(|name| Service { name: (*name).to_owned() }).collect();
        Response { services: Some(Services { services }), ..Response::default() }.encode_to_vec()
    }

    fn asked(walk: &mut Walk) -> Option<String> {
        let mut out = Vec::new();
        let any = walk.ask(&mut out);
        any.then(|| {
            let request = Request::decode(&out[message::PREFIX_BYTES..]).unwrap();
            assert_eq!(request.host, "h");
            request.list_services.or(request.file_containing_symbol).or(request.file_by_filename).unwrap()
        })
    }

    #[test]
    fn all_files_of_all_services() {
        let mut walk = Walk::new("h", &[]);
        assert_eq!(asked(&mut walk).unwrap(), "*");
        walk.take(&services(&["a.B", "grpc.reflection.v1.ServerReflection"])).unwrap();
        assert_eq!(asked(&mut walk).unwrap(), "a.B");
        walk.take(&files(&[("a.proto", &["b.proto", "c.proto"]), ("c.proto", &["b.proto"])])).unwrap();
        assert_eq!(asked(&mut walk).unwrap(), "b.proto");
        walk.take(&files(&[("b.proto", &[])])).unwrap();
        assert_eq!(asked(&mut walk), None);
        assert_eq!(Files::decode(walk.finish().as_slice()).unwrap().files.len(), 3);
    }

    #[test]
    fn named_services_and_refusals() {
        let mut walk = Walk::new("h", &["x.Y".to_owned(), "z.Z".to_owned()]);
        assert_eq!(walk.take(&[]), Err(ReflectionError::Unexpected));
        assert_eq!(asked(&mut walk).unwrap(), "x.Y");
        let error = Some(Failure { code: 5, message: "no".into() });
        let refused = walk.take(&Response { error, ..Response::default() }.encode_to_vec()).unwrap_err();
        assert_eq!(refused.to_string(), "the server refused Symbol(\"x.Y\") with status 5: no");
        assert_eq!(asked(&mut walk).unwrap(), "z.Z");
        assert_eq!(walk.take(&services(&["q"])), Err(ReflectionError::Unexpected));
        assert_eq!(asked(&mut walk), None);
    }

    /// Written by grpcio-reflection.
    #[test]
    fn as_another_library() {
        let asked = |question: &ReflectionRequest| {
            let mut out = Vec::new();
            write("h", question, &mut out);
            out.split_off(message::PREFIX_BYTES)
        };
        assert_eq!(asked(&ReflectionRequest::Services), b"\x0a\x01h\x3a\x01*");
        assert_eq!(asked(&ReflectionRequest::Symbol("a.B".into())), b"\x0a\x01h\x22\x03a.B");
        assert_eq!(asked(&ReflectionRequest::File("a.proto".into())), b"\x0a\x01h\x1a\x07a.proto");
        let answered = |tail: &[u8]| read(&[b"\x0a\x01h\x12\x06\x0a\x01h\x3a\x01*", tail].concat()).unwrap();
        let services = ReflectionResponse::Services(vec!["a.B".into(), "c.D".into()]);
        assert_eq!(answered(b"\x32\x0e\x0a\x05\x0a\x03a.B\x0a\x05\x0a\x03c.D"), services);
        assert_eq!(
            answered(b"\x22\x07\x0a\x02ab\x0a\x01c"),
            ReflectionResponse::Files(vec![b"ab".to_vec(), b"c".to_vec()])
        );
        assert_eq!(
            answered(b"\x3a\x06\x08\x05\x12\x02no"),
            ReflectionResponse::Error { code: 5, message: "no".into() }
        );
        assert_eq!(answered(b""), ReflectionResponse::Other);
    }

    #[test]
    fn a_server_that_never_ends() {
        let mut walk = Walk::new("h", &["x.Y".to_owned()]);
        let mut number = 0;
        let verdict = loop {
            assert!(walk.ask(&mut Vec::new()));
            number += 1;
            let next = format!("{number}");
            let verdict = walk.take(&files(&[(&format!("{}", number - 1), &[&next])]));
            if verdict.is_err() {
                break verdict;
            }
        };
        assert_eq!((verdict, number), (Err(ReflectionError::TooMuch), REFLECTION_FILES_MAX + 1));
        assert_eq!(read(b"\xff"), Err(ReflectionError::Malformed));
    }
}
