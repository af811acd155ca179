//! What routes do with requests.

mod forwarded_headers;
mod route_actions;
