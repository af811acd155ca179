// SPDX-License-Identifier: Apache-2.0
//! Text with `{variables}`, compiled once: for header values, rewrites, redirects and log lines.
//!
//! `{{` and `}}` stand for the braces themselves. A `Lookup` gives the values of variables, so this file does not
//! depend on exchanges. Unknown variables are an error when compiled, never at run time.

/// What a template may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `{client.ip}`: the client's address after trusted proxies were taken into account.
    ClientIp,
    /// `{client.port}`: the port of the connection's other end.
    ClientPort,
    /// `{host}`: the request's host without port, lower case.
    Host,
    /// `{authority}`: the request's host as sent, with its port.
    Authority,
    /// `{method}`
    Method,
    /// `{scheme}`: `http` or `https`.
    Scheme,
    /// `{path}`: the normalised path.
    Path,
    /// `{path.raw}`: the path as sent.
    PathRaw,
    /// `{query}`: the query without `?`; empty where there is none.
    Query,
    /// `{target}`: path and query as sent.
    Target,
    /// `{listener.port}`
    ListenerPort,
    /// `{route}`: the route's name.
    Route,
    /// `{request.id}`
    RequestId,
    /// `{consumer}`, `{consumer.id}` and others: of the identified consumer; empty where there is none.
    Consumer(ConsumerVariable),
    /// `{claim.NAME}`: a claim of the verified token; lists with commas between their members.
    Claim(Box<str>),
    /// `{version}`: the version of the API that the request is for; empty where no policy found it out.
    Version,
    /// `{country}`: two letters for where the client's address is; empty where that is not known.
    Country,
    /// `{tls.sni}`, `{tls.version}`, `{tls.client.subject}`
    Tls(TlsVariable),
    /// `{param.NAME}` or, in a route's own rewrite, `{NAME}`: a path parameter, as its position in the list of names
    /// that the template was compiled with, so that nothing is looked up by name when it is rendered.
    Param(u16),
    /// `{param.NAME}` in a text that is not of one route: the parameter of that name, where the route has it.
    NamedParam(Box<str>),
    /// `{header.NAME}`: a request field's combined value (RFC 9110 section 5.3).
    Header(Box<str>),
    /// `{cookie.NAME}`: the first one of that name.
    Cookie(Box<str>),
    /// `{query.NAME}`: the raw value of the first query parameter of that name.
    QueryValue(Box<str>),
    /// `{status}`: the response's status; empty on the request side.
    Status,
    /// `{response.header.NAME}`: a response field's combined value; empty on the request side.
    ResponseHeader(Box<str>),
    /// `{upstream}`: the name of the chosen upstream.
    Upstream,
    /// `{upstream.address}`: the chosen endpoint.
    UpstreamAddress,
}

/// What of a consumer a template may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerVariable {
    /// Its name.
    Name,
    /// The user's own identifier.
    Id,
    /// Its groups, with commas between them.
    Groups,
    /// `{consumer.method}`: the kind of the policy that found out who calls, such as `jwt`.
    Method,
    /// `{consumer.attribute.NAME}`
    Attribute(Box<str>),
    /// `{tenant}`: the name of its tenant.
    Tenant,
    /// `{app}`: the name of the app whose credential was used.
    App,
    /// `{plan}`: the name of the plan that holds on the route.
    Plan,
}

/// What of TLS a template may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVariable {
    /// The server name that the client asked for.
    Sni,
    /// `TLSv1.2` or `TLSv1.3`; empty without TLS.
    Version,
    /// The subject of the client's certificate (RFC 4514); empty without one.
    ClientSubject,
}

/// Who knows what variables are worth.
pub trait Lookup {
    /// Appends the variable's value; nothing where it has none.
    fn append(&self, variable: &Variable, out: &mut Vec<u8>);

    /// The variable's value where it is stored as such, so that it need not be copied.
    fn text(&self, _: &Variable) -> Option<&[u8]> {
        None
    }
}

/// A compiled template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<[u8]>),
    Variable(Variable),
    /// As `Variable`, written so that HTML and XML read it as text.
    Escaped(Variable),
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// A `{` without `}`, at this byte.
    Unclosed(usize),
    /// A `}` without `{`, at this byte.
    Stray(usize),
    /// No such variable; the byte and its name.
    Unknown(usize, String),
}

impl Template {
    /// Compiles `text`. Names in `params` (in the order of the route's pattern) may be used bare (`{id}` for
    /// `{param.id}`).
    pub fn compile(text: &str, params: &[&str]) -> Result<Template, TemplateError> {
        Template::compile_with(text, |name| variable(name, params))
    }

    /// Compiles a text that is not of one route: `{param.NAME}` is the parameter of whatever route there is.
    pub fn compile_anywhere(text: &str) -> Result<Template, TemplateError> {
        let named = |name: &str| argument(name.strip_prefix("param.")?).map(Variable::NamedParam);
        Template::compile_with(text, |name| variable(name, &[]).or_else(|| named(name)))
    }

    fn compile_with(text: &str, find: impl Fn(&str) -> Option<Variable>) -> Result<Template, TemplateError> {
        let mut segments = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push(rest.as_bytes()[0]);
                at += 2;
            } else if let Some(inner) = rest.strip_prefix('{') {
                let end = inner.find('}').ok_or(TemplateError::Unclosed(at))?;
                let name = &inner[..end];
                let variable = find(name).ok_or_else(|| TemplateError::Unknown(at, name.to_owned()))?;
                if !literal.is_empty() {
                    segments.push(Segment::Literal(std::mem::take(&mut literal).into()));
                }
                segments.push(Segment::Variable(variable));
                at += end + 2;
            } else if rest.starts_with('}') {
                return Err(TemplateError::Stray(at));
            } else {
                let end = rest.find(['{', '}']).unwrap_or(rest.len());
                literal.extend_from_slice(&rest.as_bytes()[..end]);
                at += end;
            }
        }
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal.into()));
        }
        Ok(Template { segments: segments.into() })
    }

    /// Appends the text with every variable filled in.
    pub fn render(&self, lookup: &impl Lookup, out: &mut Vec<u8>) {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => out.extend_from_slice(text),
                Segment::Variable(variable) => lookup.append(variable, out),
                Segment::Escaped(variable) => {
                    let start = out.len();
                    lookup.append(variable, out);
                    escape_markup(out, start);
                }
            }
        }
    }

    /// The same for HTML and XML: the values of variables cannot become markup.
    pub fn escaped(mut self) -> Template {
        for segment in &mut self.segments {
            if let Segment::Variable(variable) = segment {
                *segment = Segment::Escaped(variable.clone());
            }
        }
        self
    }

    /// The same for the inside of a JSON string: what is written between the variables cannot end it.
    pub fn within_json(mut self) -> Template {
        for segment in &mut self.segments {
            if let Segment::Literal(text) = segment {
                let quoted = serde_json::Value::from(String::from_utf8_lossy(text)).to_string();
                *text = quoted.as_bytes()[1..quoted.len() - 1].into();
            }
        }
        self
    }

    /// The text itself, where it names no variable.
    pub fn literal(&self) -> Option<&[u8]> {
        match &*self.segments {
            [] => Some(b""),
            [Segment::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Does it name the route, which is not known before routing, or what depends on it?
    pub fn names_route(&self) -> bool {
        self.variables()
            .any(|variable| matches!(variable, Variable::Route | Variable::Consumer(ConsumerVariable::Plan)))
    }

    /// The variables it names, in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(variable) | Segment::Escaped(variable) => Some(variable),
            Segment::Literal(_) => None,
        })
    }
}

/// Escapes what markup is made of in everything behind `start`, for text and for quoted attributes (the HTML standard,
/// section 13.3).
fn escape_markup(out: &mut Vec<u8>, start: usize) {
    if !out[start..].iter().any(|byte| b"&<>\"'".contains(byte)) {
        return;
    }
    for byte in out.split_off(start) {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            byte => out.push(byte),
        }
    }
}

/// Names without an argument, for help texts and "did you mean".
pub(crate) const PLAIN: &[(&str, Variable)] = &[
    ("client.ip", Variable::ClientIp),
    ("client.port", Variable::ClientPort),
    ("host", Variable::Host),
    ("authority", Variable::Authority),
    ("method", Variable::Method),
    ("scheme", Variable::Scheme),
    ("path", Variable::Path),
    ("path.raw", Variable::PathRaw),
    ("query", Variable::Query),
    ("target", Variable::Target),
    ("listener.port", Variable::ListenerPort),
    ("route", Variable::Route),
    ("request.id", Variable::RequestId),
    ("consumer", Variable::Consumer(ConsumerVariable::Name)),
    ("consumer.id", Variable::Consumer(ConsumerVariable::Id)),
    ("consumer.group", Variable::Consumer(ConsumerVariable::Groups)),
    ("consumer.method", Variable::Consumer(ConsumerVariable::Method)),
    ("tenant", Variable::Consumer(ConsumerVariable::Tenant)),
    ("app", Variable::Consumer(ConsumerVariable::App)),
    ("plan", Variable::Consumer(ConsumerVariable::Plan)),
    ("version", Variable::Version),
    ("country", Variable::Country),
    ("tls.sni", Variable::Tls(TlsVariable::Sni)),
    ("tls.version", Variable::Tls(TlsVariable::Version)),
    ("tls.client.subject", Variable::Tls(TlsVariable::ClientSubject)),
    ("status", Variable::Status),
    ("upstream", Variable::Upstream),
    ("upstream.address", Variable::UpstreamAddress),
];

fn variable(name: &str, params: &[&str]) -> Option<Variable> {
    if let Some(param) = param(name, params) {
        return Some(param);
    }
    if let Some((_, plain)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
        return Some(plain.clone());
    }
    if let Some(field) = name.strip_prefix("response.header.") {
        return argument(field).map(Variable::ResponseHeader);
    }
    if let Some(attribute) = name.strip_prefix("consumer.attribute.") {
        return argument(attribute).map(ConsumerVariable::Attribute).map(Variable::Consumer);
    }
    let (family, rest) = name.split_once('.')?;
    let rest = argument(rest)?;
    match family {
        "param" => param(&rest, params),
        "header" => Some(Variable::Header(rest)),
        "cookie" => Some(Variable::Cookie(rest)),
        "query" => Some(Variable::QueryValue(rest)),
        "claim" => Some(Variable::Claim(rest)),
        _ => None,
    }
}

fn param(name: &str, params: &[&str]) -> Option<Variable> {
    let position = params.iter().position(|param| *param == name)?;
    u16::try_from(position).ok().map(Variable::Param)
}

fn argument(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;
    impl Lookup for Echo {
        fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("<{variable:?}>").as_bytes());
        }
    }

    #[test]
    fn renders_literals_braces_and_variables() {
        let template = Template::compile("/v2/{{x}}/{id}?a={header.X-A}é", &["id"]).unwrap();
        let mut out = Vec::new();
        template.render(&Echo, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "/v2/{x}/<Param(0)>?a=<Header(\"X-A\")>é");
    }

    #[test]
    fn values_cannot_become_markup() {
        let template = Template::compile("<p title=\"{id}\">{path}</p>", &["id"]).unwrap().escaped();
        struct Markup;
        impl Lookup for Markup {
            fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
                out.extend_from_slice(if *variable == Variable::Path { b"/plain" } else { b"<b>\"'&" });
            }
        }
        let mut out = Vec::new();
        template.render(&Markup, &mut out);
        let expected = "<p title=\"&lt;b&gt;&quot;&#39;&amp;\">/plain</p>";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(template.variables().count(), 2);
    }

    #[test]
    fn literals_cannot_end_a_json_string() {
        let template = Template::compile("é \"{id}\" \\ \n{{", &["id"]).unwrap().within_json();
        let mut out = Vec::new();
        template.render(&Echo, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "é \\\"<Param(0)>\\\" \\\\ \\n{");
    }

    #[test]
    fn says_where_it_is_wrong() {
        assert_eq!(Template::compile("a{b", &[]), Err(TemplateError::Unclosed(1)));
        assert_eq!(Template::compile("a}b", &[]), Err(TemplateError::Stray(1)));
        assert_eq!(Template::compile("{clent.ip}", &[]), Err(TemplateError::Unknown(0, "clent.ip".into())));
        assert_eq!(Template::compile("{param.x}", &[]), Err(TemplateError::Unknown(0, "param.x".into())));
    }
}
