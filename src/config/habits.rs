// SPDX-License-Identifier: Apache-2.0
//! What other products' configurations look like, and what to write here instead.

/// What to do without a feature that other products have under this key.
pub(super) fn absent_feature(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    ABSENT.iter().find(|(keys, _)| keys.contains(&key.as_str())).map(|(_, words)| *words)
}

/// Keys of features that are not there, and a sentence for each.
const ABSENT: &[(&[&str], &str)] = &[
    (
        &["root", "alias", "try_files", "file_server", "autoindex", "index", "static", "docroot"],
        "it serves no files: forward to a file server with `to`",
    ),
    (
        &["fastcgi_pass", "uwsgi_pass", "scgi_pass", "php_fastcgi", "fastcgi"],
        "it speaks HTTP to upstreams only: run PHP-FPM or uWSGI behind a web server, and forward to that",
    ),
    (&["stream", "tcp", "udp", "layer4", "tcp_proxy"], "it forwards HTTP only, no bare TCP or UDP"),
    (
        &["acme", "acme_email", "letsencrypt", "certificatesresolvers", "cert_resolver", "certresolver", "auto_https"],
        "it orders no certificates: let an ACME client write the files of `certificates`, which are watched",
    ),
    (&["proxy_cache", "proxy_cache_path", "cache", "http_cache"], "it has no cache for responses"),
    (&["lua", "njs", "js_content", "access_by_lua", "wasm", "ext_proc"], "it runs no scripts or modules"),
    (&["auth_basic", "basic_auth", "basicauth"], "write `[policy.NAME.basic]` and name it in `policies`"),
    (
        &["jwt", "auth_jwt", "jwt_auth", "jwt_authn", "oauth2"],
        "tokens are checked by policies: `[policy.NAME.jwt]` or `[policy.NAME.introspection]`, named by routes",
    ),
    (
        &["oidc", "forward_auth_oidc", "openid_connect"],
        "browsers are logged in by a policy: `[policy.NAME.oidc]`, named by routes",
    ),
    (&["hide_credentials"], "write `hide`: it takes credentials out of what the upstream gets"),
    (
        &["key_names", "key_in_header", "key_in_query"],
        "where keys stand is said by `header`, `bearer`, `basic`, `cookie` and `query`",
    ),
    (&["limit_by"], "what is counted apart is the `key`: `\"consumer\"`, `\"address\"`, `\"header:NAME\"`"),
    (
        &["redis_host", "redis_port", "redis_database"],
        "the server is named by `[redis] url`, and `counted_in = \"redis\"` counts there",
    ),
    (&["mirror", "traffic_mirror", "shadow", "request_mirror_policies"], "it mirrors no requests"),
    (&["http3", "quic", "listen_quic"], "it speaks HTTP/1.1 and HTTP/2, not HTTP/3"),
    (
        &["gzip", "brotli", "zstd", "encode"],
        "compression is a policy: `[policy.NAME] compression = {}`, named by routes",
    ),
    (
        &["limit_req", "limit_req_zone", "ratelimit", "rate_limit_zone"],
        "rate limits are policies: `[policy.NAME] rate_limit = { rate = \"10/s\" }`, named by routes",
    ),
    (&["if", "map", "geo"], "conditions are matchers of routes: `headers`, `query`, `cookies`, `methods`, `source`"),
    (
        &["include_dir", "http", "frontend", "frontends", "entrypoints", "static_resources"],
        "sections are `[[listener]]`, `[[route]]`, `[upstream.NAME]` and `[policy.NAME]`",
    ),
];

/// What a path means elsewhere and not here, and what to write.
pub(super) fn foreign_path(path: &str) -> Option<(String, String)> {
    if let Some(stem) = path.strip_suffix("/*").or_else(|| path.strip_suffix("/**")) {
        let stem = if stem.is_empty() { "/" } else { stem };
        return Some(("`*` is a character like others here".into(), format!("`path_prefix = \"{stem}\"`")));
    }
    if path.contains('*') && !path.contains("{*") {
        return Some((
            "`*` is a character like others here".into(),
            "`{name}` for a segment, `{*name}` for the rest".into(),
        ));
    }
    let is_name = |segment: &&str| {
        let rest = segment.strip_prefix(':').unwrap_or_default();
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let segment = path.split('/').find(is_name)?;
    Some((format!("`{segment}` is a text like others here"), format!("`{{{}}}`", &segment[1..])))
}

/// The first `$variable` of a text, and what to write for it.
pub(super) fn dollar_variable(text: &str) -> Option<(&str, String)> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    for (at, _) in text.match_indices('$') {
        let rest = &text[at + 1..];
        let end = rest.bytes().position(|byte| !letter(byte) && !byte.is_ascii_digit()).unwrap_or(rest.len());
        let name = &rest[..end];
        if !name.bytes().next().is_some_and(letter) {
            continue;
        }
        let ours = match DOLLAR.iter().find(|(theirs, _)| *theirs == name) {
            Some((_, ours)) => format!("`{{{ours}}}`"),
            None => match (name.strip_prefix("http_"), name.strip_prefix("arg_"), name.strip_prefix("cookie_")) {
                (Some(field), _, _) => format!("`{{header.{}}}`", field.replace('_', "-")),
                (_, Some(parameter), _) => format!("`{{query.{parameter}}}`"),
                (_, _, Some(cookie)) => format!("`{{cookie.{cookie}}}`"),
                (None, None, None) => continue,
            },
        };
        return Some((&text[at..=at + end], ours));
    }
    None
}

/// Variables of nginx, and ours.
const DOLLAR: &[(&str, &str)] = &[
    ("args", "query"),
    ("body_bytes_sent", "bytes_sent"),
    ("host", "host"),
    ("http_host", "authority"),
    ("query_string", "query"),
    ("remote_addr", "client.ip"),
    ("remote_port", "client.port"),
    ("remote_user", "consumer"),
    ("request_id", "request.id"),
    ("request_method", "method"),
    ("request_time", "duration"),
    ("request_uri", "target"),
    ("scheme", "scheme"),
    ("server_port", "listener.port"),
    ("ssl_protocol", "tls.version"),
    ("ssl_server_name", "tls.sni"),
    ("status", "status"),
    ("time_local", "time.common"),
    ("upstream_addr", "upstream.address"),
    ("uri", "path"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_other_products_are_known() {
        let written = |path: &str| foreign_path(path).map(|(_, write)| write);
        assert_eq!(written("/api/*").as_deref(), Some("`path_prefix = \"/api\"`"));
        assert_eq!(written("/*").as_deref(), Some("`path_prefix = \"/\"`"));
        assert_eq!(written("/users/:id/posts").as_deref(), Some("`{id}`"));
        assert!(written("/a*b").is_some());
        for ours in ["/a/{*rest}", "/a/{id}", "/v1/things:batch", "/a/:", "/"] {
            assert_eq!(written(ours), None, "{ours}");
        }
    }

    #[test]
    fn variables_of_nginx_are_known() {
        assert_eq!(dollar_variable("a $remote_addr b"), Some(("$remote_addr", "`{client.ip}`".to_owned())));
        assert_eq!(dollar_variable("$http_x_user"), Some(("$http_x_user", "`{header.x-user}`".to_owned())));
        assert_eq!(dollar_variable("$5 and $ and $unknown"), None);
        assert_eq!(dollar_variable("$$unknown $host"), Some(("$host", "`{host}`".to_owned())));
    }

    #[test]
    fn features_that_are_not_there_have_a_sentence() {
        for key in ["root", "fastcgi_pass", "stream", "acme", "HTTP3"] {
            assert!(absent_feature(key).is_some(), "{key}");
        }
        assert_eq!(absent_feature("route"), None);
    }
}
