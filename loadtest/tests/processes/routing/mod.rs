// SPDX-License-Identifier: Apache-2.0
//! What routes do with requests.

mod forwarded_headers;
mod route_actions;
mod who_and_what;
