//! HTTP/2 to endpoints.
