//! What both sides of one version of HTTP need: bodies of HTTP/1, connections and streams of HTTP/2.

pub mod h1;
pub mod h2;
