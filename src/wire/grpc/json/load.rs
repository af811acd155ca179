// SPDX-License-Identifier: Apache-2.0
//! A descriptor set becomes a transcoder, or a list of all that is wrong with it.

use std::collections::BTreeSet;
use std::fmt;

use prost::Message;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor};

use crate::base::limits::TRANSCODE_DEPTH_MAX;
use crate::wire::grpc::json::binding::{Binding, Body, Call, Flow};
use crate::wire::grpc::json::fields;
use crate::wire::grpc::json::options::{Options, Unannotated};
use crate::wire::grpc::json::rule::{Rule, rules};
use crate::wire::grpc::json::template::Template;
use crate::wire::grpc::json::tree::Tree;

/// The full name of the message whose content is no JSON but bytes with a media type.
pub(crate) const HTTP_BODY: &str = "google.api.HttpBody";

/// JSON in the place of gRPC, for the methods of a descriptor set.
#[derive(Debug)]
pub struct Transcoder {
    pub(super) options: Options,
    pub(super) pool: DescriptorPool,
    pub(super) tree: Tree,
    pub(super) bindings: Vec<Binding>,
    pub(super) calls: Vec<Call>,
    pub(super) listed: Vec<Listed>,
}

/// A binding as it was written.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) verb: String,
    pub(super) template: String,
}

/// Something that is wrong with a descriptor set or with the options for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The bytes are no descriptor set, or one that lacks something.
    Set(String),
    /// It has no service with this name.
    NoService(String),
    /// No method can be called: none has a rule.
    Nothing,
    /// A rule that cannot be followed.
    Rule {
        /// The method's full name.
        method: String,
        /// The template of the rule.
        template: String,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Set(what) => write!(out, "the descriptor set cannot be read: {what}"),
            LoadError::NoService(name) => write!(out, "the descriptor set has no service `{name}`"),
            LoadError::Nothing => out.write_str("no method of the descriptor set has a `google.api.http` rule"),
            LoadError::Rule { method, template, what } => write!(out, "{method}: rule `{template}`: {what}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl Transcoder {
    /// Compiles a serialised `FileDescriptorSet` that holds all imports (`protoc --include_imports`); those of
    /// `google/protobuf` may be missing.
    pub fn from_descriptor_set(bytes: &[u8], options: Options) -> Result<Transcoder, Vec<LoadError>> {
        let (transcoder, errors) = Transcoder::of_good_rules(bytes, options)?;
        if errors.is_empty() { Ok(transcoder) } else { Err(errors) }
    }

    /// The same, but leaves out the rules that cannot be followed and returns what is wrong with them. Fails where no
    /// rule can be followed, or the set as a whole is wrong.
    pub fn of_good_rules(bytes: &[u8], options: Options) -> Result<(Transcoder, Vec<LoadError>), Vec<LoadError>> {
        let pool = pool(bytes).map_err(|error| vec![error])?;
        let mut options = options;
        options.depth_max = options.depth_max.min(TRANSCODE_DEPTH_MAX);
        let mut loading = Loading { transcoder: Transcoder::empty(pool, options), errors: Vec::new() };
        loading.services();
        let Loading { transcoder, mut errors } = loading;
        if errors.is_empty() && transcoder.bindings.is_empty() {
            errors.push(LoadError::Nothing);
        }
        let of_rules = errors.iter().all(|error| matches!(error, LoadError::Rule { .. }));
        if transcoder.bindings.is_empty() || !of_rules { Err(errors) } else { Ok((transcoder, errors)) }
    }

    fn empty(pool: DescriptorPool, options: Options) -> Transcoder {
        Transcoder { options, pool, tree: Tree::default(), bindings: Vec::new(), calls: Vec::new(), listed: Vec::new() }
    }
}

/// What a file may be written in; nothing is the older of the two. The library panics over others.
const SYNTAXES: [&str; 3] = ["", "proto2", "proto3"];

/// Reads the set. Files of `google/protobuf` that it imports and lacks are added.
fn pool(bytes: &[u8]) -> Result<DescriptorPool, LoadError> {
    let files = FileNames::decode(bytes).map_err(|error| LoadError::Set(error.to_string()))?.files;
    let foreign = files.iter().find(|file| !SYNTAXES.contains(&file.syntax.as_str()));
    if let Some(FileName { name, syntax, .. }) = foreign {
        let what = format!("`{name}` has the syntax `{syntax}`: only proto2 and proto3 are known");
        return Err(LoadError::Set(what));
    }
    let held: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let wanted: BTreeSet<&str> = files.iter().flat_map(|file| &file.imports).map(String::as_str).collect();
    let missing = |name: &str| wanted.contains(name) && !held.contains(name);
    let known = DescriptorPool::global();
    let mut pool = DescriptorPool::new();
    let fault = |error: prost_reflect::DescriptorError| LoadError::Set(error.to_string());
    for file in known.files().filter(|file| missing(file.name())) {
        pool.add_file_descriptor_proto(file.file_descriptor_proto().clone()).map_err(fault)?;
    }
    let absent = wanted.iter().find(|name| missing(name) && pool.get_file_by_name(name).is_none());
    if let Some(name) = absent {
        let what = format!("it imports `{name}` and does not hold it: make it with all imports (--include_imports)");
        return Err(LoadError::Set(what));
    }
    pool.decode_file_descriptor_set(bytes).map_err(fault)?;
    Ok(pool)
}

struct Loading {
    transcoder: Transcoder,
    errors: Vec<LoadError>,
}

impl Loading {
    fn services(&mut self) {
        let pool = self.transcoder.pool.clone();
        let wanted = self.transcoder.options.services.clone();
        for name in &wanted {
            if !pool.services().any(|service| service.full_name() == name) {
                self.errors.push(LoadError::NoService(name.clone()));
            }
        }
        let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
        for service in pool.services().filter(|service| chosen(service.full_name())) {
            service.methods().for_each(|method| self.method(&method));
        }
    }

    fn method(&mut self, method: &MethodDescriptor) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut rules = match rules(&method.options().encode_to_vec()) {
            Ok(rules) => rules,
            Err(error) => return self.fault(method, "", format!("it cannot be read: {error}")),
        };
        if rules.is_empty() && self.transcoder.options.unannotated == Unannotated::Post {
            let (verb, body) = ("POST".to_owned(), "*".to_owned());
            rules.push(Rule { verb, template: path.clone(), body, response_body: String::new() });
        }
        if rules.is_empty() {
            return;
        }
        let flow = |streams| if streams { Flow::Many } else { Flow::One };
        let call = self.transcoder.calls.len();
        self.transcoder.calls.push(Call {
            path,
            requests: flow(method.is_client_streaming()),
            responses: flow(method.is_server_streaming()),
            input: method.input(),
            output: method.output(),
        });
        let before = self.transcoder.bindings.len();
        for rule in rules {
            if let Err(what) = self.rule(call, method, &rule) {
                self.fault(method, &rule.template, what);
            }
        }
        if self.transcoder.bindings.len() == before {
            self.transcoder.calls.pop();
        }
    }

    fn rule(&mut self, call: usize, method: &MethodDescriptor, rule: &Rule) -> Result<(), String> {
        let template =
            Template::parse(&rule.template).map_err(|error| format!("{} (at byte {})", error.what, error.at))?;
        if rule.verb.is_empty() {
            return Err("the kind of a custom pattern is empty".to_owned());
        }
        let (input, output) = (method.input(), method.output());
        let variables = template.variables.iter().map(|variable| variable_fields(&input, &variable.fields));
        let variables: Vec<Vec<FieldDescriptor>> = variables.collect::<Result<_, _>>()?;
        let body = match rule.body.as_str() {
            "" => Body::None,
            "*" => Body::Whole,
            name => Body::Field(top_field(&input, name, "body")?),
        };
        let answer = match rule.response_body.as_str() {
            "" => None,
            name => Some(top_field(&output, name, "response_body")?),
        };
        let binding = Binding {
            call,
            template,
            variables,
            raw_request: match &body {
                Body::None => false,
                Body::Whole => input.full_name() == HTTP_BODY,
                Body::Field(field) => is_raw(field),
            },
            body,
            raw_answer: answer.as_ref().map_or(output.full_name() == HTTP_BODY, is_raw),
            answer,
        };
        let number = self.transcoder.bindings.len();
        if let Err(other) = self.transcoder.tree.add(&binding.template, &rule.verb, number as u32) {
            let other = &self.transcoder.calls[self.transcoder.bindings[other as usize].call].path;
            return Err(format!("`{other}` has the same path and method"));
        }
        let listed = Listed { verb: rule.verb.clone(), template: rule.template.clone() };
        self.transcoder.listed.push(listed);
        self.transcoder.bindings.push(binding);
        Ok(())
    }

    fn fault(&mut self, method: &MethodDescriptor, template: &str, what: String) {
        let method = method.full_name().to_owned();
        self.errors.push(LoadError::Rule { method, template: template.to_owned(), what });
    }
}

/// The fields of a variable; the last must be one that a text can fill, and none may repeat.
fn variable_fields(kind: &MessageDescriptor, names: &[String]) -> Result<Vec<FieldDescriptor>, String> {
    let path = names.join(".");
    let found = fields::resolve(kind, names.iter().map(String::as_str)).map_err(|what| format!("`{path}`: {what}"))?;
    match found.last() {
        Some(last) if last.is_list() => Err(format!("`{path}` is repeated and cannot be in the path")),
        Some(last) if !fields::takes_text(last) => Err(format!("`{path}` is a message and cannot be in the path")),
        Some(_) | None => Ok(found),
    }
}

fn top_field(kind: &MessageDescriptor, name: &str, what: &str) -> Result<FieldDescriptor, String> {
    let found = kind.get_field_by_name(name);
    found.ok_or_else(|| format!("`{}` has no field `{name}`, which is its {what}", kind.full_name()))
}

fn is_raw(field: &FieldDescriptor) -> bool {
    !field.is_list() && field.kind().as_message().is_some_and(|kind| kind.full_name() == HTTP_BODY)
}

/// What is needed of a `FileDescriptorSet` before it is read.
#[derive(Clone, PartialEq, Message)]
struct FileNames {
    #[prost(message, repeated, tag = "1")]
    files: Vec<FileName>,
}

#[derive(Clone, PartialEq, Message)]
struct FileName {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    imports: Vec<String>,
    #[prost(string, tag = "12")]
    syntax: String,
}
