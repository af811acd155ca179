//! Which connection to which endpoint: kept connections, new ones, streams of HTTP/2.

pub mod acquire;
pub mod carrier;
pub mod dial;
pub mod h1;
pub mod h2;
pub mod load;
pub mod pool;
