// SPDX-License-Identifier: Apache-2.0
//! The methods of a descriptor set, and each rule by which one of them is called.

use prost_reflect::{FieldDescriptor, MessageDescriptor};

use crate::wire::grpc::json::template::Template;

/// How many messages one side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// One.
    One,
    /// Any number.
    Many,
}

/// A gRPC method.
#[derive(Debug)]
pub struct Call {
    /// Its path, `/package.Service/Method`.
    pub path: String,
    /// Messages of the client.
    pub requests: Flow,
    /// Messages of the server.
    pub responses: Flow,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
}

/// Where a request's body goes.
#[derive(Debug)]
pub(super) enum Body {
    /// Nowhere.
    None,
    /// It is the message.
    Whole,
    /// To this field.
    Field(FieldDescriptor),
}

/// One way to call a method.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) call: usize,
    pub(super) template: Template,
    /// The fields of each of the template's variables, outermost first.
    pub(super) variables: Vec<Vec<FieldDescriptor>>,
    pub(super) body: Body,
    /// The field that is the answer; the whole message where there is none.
    pub(super) answer: Option<FieldDescriptor>,
    /// The body is bytes (`google.api.HttpBody`) and no JSON.
    pub(super) raw_request: bool,
    /// The answer is bytes and no JSON.
    pub(super) raw_answer: bool,
}
