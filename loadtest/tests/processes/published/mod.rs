//! Cases that others published (`../shared/data`), which are not part of the project.

mod gateway_api;
mod http11_cases;
mod readings;
mod smuggling_http1;
mod smuggling_http2;
