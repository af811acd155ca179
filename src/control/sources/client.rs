// SPDX-License-Identifier: Apache-2.0
//! Requests by which the gateway, as a client that an authorisation server knows, posts a form (RFC 6749 section
//! 2.3.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};

use crate::config::plan::{ClientAuthentication, ClientCredentials};
use crate::wire::form;
use crate::wire::url::Url;

/// Posts a form, with what proves who posts it.
pub(super) fn post(url: &Url, client: &ClientCredentials, mut fields: String) -> Result<Request<Full<Bytes>>, String> {
    let head = Request::post(&*url.target)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let head = match client.authentication {
        ClientAuthentication::Basic => {
            // Both are form-encoded first.
            let mut both = String::new();
            form::encode(&client.id, &mut both);
            both.push(':');
            form::encode(&client.secret.0, &mut both);
            head.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(both)))
        }
        ClientAuthentication::Post => {
            form::append("client_id", &client.id, &mut fields);
            form::append("client_secret", &client.secret.0, &mut fields);
            head
        }
        ClientAuthentication::Nothing => {
            form::append("client_id", &client.id, &mut fields);
            head
        }
    };
    head.body(Full::from(fields)).map_err(|error| error.to_string())
}
