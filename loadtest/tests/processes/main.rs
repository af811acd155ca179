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
mod grpc_health;
mod grpc_json;
mod grpc_reflection;
mod grpc_web;
mod h2_fair;
mod h2_hostile;
mod h2_keep;
mod h2_life;
mod h2_load;
mod h2_matrix;
mod h2_origins;
mod h2_smuggling;
mod h2_upstream;
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
mod ws_bridge;
mod ws_conformance;
mod ws_limits;
mod ws_peers;
