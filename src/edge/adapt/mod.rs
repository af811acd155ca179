//! Adaptors around a body that comes or goes. They know no connection and no plan.

pub mod encoders;
pub mod grpc;
pub mod staged;
