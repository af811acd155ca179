//! Connections of clients from accept to close, in HTTP/1 and HTTP/2.

pub mod accept;
pub mod acceptor;
pub mod connection;
pub mod h1;
pub mod h2;
pub mod live;
