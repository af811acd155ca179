// SPDX-License-Identifier: Apache-2.0
//! Adaptors around a body that comes or goes. They know no connection and no plan.

pub(crate) mod chain;
pub(crate) mod coding;
pub(crate) mod encoders;
pub(crate) mod grpc;
pub(crate) mod scan;
pub(crate) mod stage;
pub(crate) mod staged;
pub(crate) mod staged_source;
pub(crate) mod transform;
