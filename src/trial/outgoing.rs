// SPDX-License-Identifier: Apache-2.0
//! A request of a test that is ready to be sent.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::{Address, Scheme, Wall};
use crate::config::Environment;
use crate::config::explain::{listener, port_of, taken_apart};
use crate::config::plan::{ListenerPlan, Plan};
use crate::net::tls::{
    Certificate, ClientMaterial, Roots, Verify, Versions, certificates, client_config, private_key, server_name,
};
use crate::policy::api_key::KeyLocation;
use crate::trial::exchange::Line;
use crate::trial::plan::{Keys, key_of};
use crate::trial::spec::{ClientTlsSpec, Protocol, RequestSpec};
use crate::trial::token::token;

/// Largest file of a certificate or key.
const PEM_BYTES_MAX: usize = 1024 * 1024;

/// A request that is ready to be sent.
pub(super) struct Outgoing {
    /// The version of HTTP.
    pub protocol: Protocol,
    /// Its method.
    pub method: Vec<u8>,
    /// Its scheme.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// Field lines.
    pub fields: Vec<Line>,
    /// Its content.
    pub body: Vec<u8>,
    /// Where the listener is.
    pub to: Address,
    /// The client.
    pub from: IpAddr,
    /// Who opens the connection, where that is not the client: it tells the client in a PROXY header.
    pub proxy: Option<IpAddr>,
    /// What a TLS handshake uses, and the name that it sends.
    pub tls: Option<(Arc<rustls::ClientConfig>, rustls::pki_types::ServerName<'static>)>,
}

impl Outgoing {
    /// What `spec` describes, at this time.
    pub(super) fn new(
        spec: &RequestSpec,
        plan: &Plan,
        keys: &Keys,
        (environment, now): (&Environment, Wall),
    ) -> Result<Outgoing, String> {
        let (scheme, authority, target) = taken_apart(&spec.url.value)?;
        let listener = of(plan, spec, scheme, &authority)?;
        let to = listener.bind.first().ok_or("the listener has no address")?.clone();
        let authority = if authority.is_empty() { "localhost".to_owned() } else { authority };
        let (body, of_json) = match (&spec.body, &spec.json) {
            (_, Some(json)) => (json.to_string().into_bytes(), true),
            (body, None) => (body.clone().unwrap_or_default().into_bytes(), false),
        };
        let mut outgoing = Outgoing {
            protocol: spec.protocol,
            method: spec.method.clone().into_bytes(),
            scheme,
            authority,
            target,
            fields: Vec::new(),
            body,
            to,
            from: spec.from.unwrap_or(IpAddr::from([127, 0, 0, 1])),
            proxy: spec.proxy,
            tls: None,
        };
        let asked = listener.tls.as_ref().map(|_| spec.tls.as_ref().map(|tls| &tls.value));
        outgoing.tls = asked.map(|tls| outgoing.client_tls(tls, environment)).transpose()?;
        outgoing.take_fields(spec, keys, now, of_json)?;
        Ok(outgoing)
    }

    // tidy(bool): whether the body was written as JSON.
    fn take_fields(&mut self, spec: &RequestSpec, keys: &Keys, now: Wall, of_json: bool) -> Result<(), String> {
        for (name, values) in &spec.headers {
            values.iter().for_each(|value| self.add(name, value));
        }
        if of_json && !self.has("content-type") {
            self.add("Content-Type", "application/json");
        }
        if let Some(pair) = &spec.basic {
            self.add("Authorization", &format!("Basic {}", STANDARD.encode(pair)));
        }
        if let Some(jwt) = &spec.jwt {
            let token = token(&jwt.value, now);
            match &jwt.value.header {
                Some(name) => self.add(name, &token),
                None => self.add("Authorization", &format!("Bearer {token}")),
            }
        }
        if let Some(key) = &spec.key {
            self.put(keys.place()?, key);
        }
        if let Some(consumer) = &spec.consumer {
            self.put(keys.place()?, &key_of(&consumer.value));
        }
        Ok(())
    }

    /// Adds a field line.
    fn add(&mut self, name: &str, value: &str) {
        self.fields.push((name.as_bytes().into(), value.as_bytes().into()));
    }

    /// Puts a key where it is looked for.
    fn put(&mut self, place: &KeyLocation, key: &str) {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        match place {
            KeyLocation::Header(name) => self.add(&text(name), key),
            KeyLocation::Bearer => self.add("Authorization", &format!("Bearer {key}")),
            KeyLocation::BasicUser => {
                self.add("Authorization", &format!("Basic {}", STANDARD.encode(format!("{key}:"))));
            }
            KeyLocation::Cookie(name) => self.add("Cookie", &format!("{}={key}", text(name))),
            KeyLocation::Query(name) => self.add_query(&text(name), key),
        }
    }

    /// Adds a query parameter.
    fn add_query(&mut self, name: &str, value: &str) {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        self.target.push_str(&format!("{joint}{name}={value}"));
    }

    /// Has it a field of this name?
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
    }

    fn client_tls(
        &self,
        spec: Option<&ClientTlsSpec>,
        environment: &Environment,
    ) -> Result<(Arc<rustls::ClientConfig>, rustls::pki_types::ServerName<'static>), String> {
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        let sni = spec.and_then(|spec| spec.sni.as_ref()).map_or(host, |name| &name.value);
        let pem = |path: &str| {
            environment.read(Path::new(path), PEM_BYTES_MAX).map_err(|error| format!("cannot read `{path}`: {error}"))
        };
        let certificate = match spec.and_then(|spec| spec.cert.as_ref().zip(spec.key.as_ref())) {
            None => None,
            Some((cert, key)) => {
                let chain = certificates(&pem(&cert.value)?).map_err(|error| error.to_string())?;
                let key = private_key(&pem(&key.value)?).map_err(|error| error.to_string())?;
                Some(Certificate { names: Vec::new(), chain, key })
            }
        };
        let alpn = match self.protocol {
            Protocol::Http2 => b"h2".to_vec(),
            Protocol::Http10 | Protocol::Http11 => b"http/1.1".to_vec(),
        };
        let material = ClientMaterial {
            roots: Roots::Custom(Vec::new()),
            verify: Verify::Off,
            certificate,
            alpn: vec![alpn],
            versions: Versions::default(),
        };
        let config = client_config(&material).map_err(|error| error.to_string())?;
        Ok((Arc::new(config), server_name(sni).map_err(|error| error.to_string())?))
    }

    /// Who opens the connection.
    pub(super) fn opener(&self) -> IpAddr {
        self.proxy.unwrap_or(self.from)
    }
}

/// The listener that a request comes to.
fn of<'p>(plan: &'p Plan, spec: &RequestSpec, scheme: Scheme, authority: &str) -> Result<&'p ListenerPlan, String> {
    match &spec.listener {
        Some(name) => {
            let named = plan.listeners.iter().find(|listener| *listener.name == *name.value);
            named.ok_or_else(|| format!("there is no listener `{}`", name.value))
        }
        None => Ok(listener(plan, scheme, port_of(scheme, authority))?.0),
    }
}
