// SPDX-License-Identifier: Apache-2.0
//! gRPC: calls, gRPC-Web, JSON, health checks, reflection.

mod calls;
mod failures;
mod grpc_web;
mod health_checks;
pub mod json;
mod reflection;
