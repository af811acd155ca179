//! Turnpike as a process, with the clients and origins of the real world around it.
//!
//! One program of tests, so that the harness is built once. A test is one thing that a user would notice.

mod harness;

mod actions;
mod basics;
mod command;
mod forwarding;
mod gateway_api;
mod grpc_calls;
mod grpc_faults;
mod grpc_json;
mod grpc_web;
mod hostile;
mod limits;
mod malformed;
mod policies;
mod readings;
mod reload;
mod smuggling;
mod sockets;
mod stopping;
mod tls;
mod truth;
mod upstreams;
mod watching;
mod websocket;
