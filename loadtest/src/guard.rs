// SPDX-License-Identifier: Apache-2.0
//! Who may call in the cases of a gateway: a key or a token that every request carries, and what turnpike has to look
//! at for it. The keys that signed the tokens were thrown away.

use std::path::Path;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Everybody.
    None,
    /// Everybody, through a gateway that logs in JSON, as it does for all that follow.
    Anyone,
    /// Whoever has an API key, within the limits of its plan; with CORS and changed fields.
    Key,
    /// Everybody, as far as a monthly quota goes that is counted in the store.
    Quota,
    /// Whoever has a token that is known already.
    Es256,
    /// The same, signed with RSA.
    Rs256,
    /// Whoever has a token, which has been forgotten since it came last.
    Es256Cold,
}

impl Guard {
    /// What requests have for it, in turn: fields, each with its line end.
    pub fn fields(self) -> Vec<String> {
        let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
        match self {
            Guard::None | Guard::Anyone => vec![String::new()],
            Guard::Key => vec![format!("Origin: https://shop.example\r\nX-Api-Key: {KEY}\r\nX-Debug: 1\r\n")],
            Guard::Quota => vec!["X-Tenant: acme\r\n".to_owned()],
            Guard::Es256 | Guard::Es256Cold => ES256_TOKENS.iter().map(|token| bearer(token)).collect(),
            Guard::Rs256 => vec![bearer(RS256_TOKEN)],
        }
    }

    /// The format of turnpike's access log.
    pub(crate) fn log_format(self) -> &'static str {
        if self == Guard::None { "combined" } else { "json" }
    }

    /// Turnpike's policies and objects for it, with files in this folder.
    pub(crate) fn tables(self, folder: &Path) -> String {
        match self {
            Guard::None | Guard::Anyone => String::new(),
            Guard::Key => GATEWAY.to_owned(),
            Guard::Quota => format!("\n[store]\npath = \"{}/quota.db\"\n{QUOTA}", folder.display()),
            Guard::Es256 => jwt(ES256_KEY, ""),
            Guard::Rs256 => jwt(RS256_KEY, ""),
            Guard::Es256Cold => jwt(ES256_KEY, "tokens_kept = 1\n"),
        }
    }

    /// What a route has of them.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Guard::None | Guard::Anyone => "",
            Guard::Key => concat!(
                "policies = [\"keys\", \"sold\", \"browsers\"]\n",
                "request_headers = { set = { X-Plan = \"{plan}\" }, remove = [\"X-Debug\"] }\n",
                "response_headers = { set = { X-Frame-Options = \"DENY\" }, remove = [\"X-Powered-By\"] }\n",
            ),
            Guard::Quota => "policies = \"monthly\"\n",
            Guard::Es256 | Guard::Rs256 | Guard::Es256Cold => "policies = \"tokens\"\n",
        }
    }
}

fn jwt(key: &str, more: &str) -> String {
    format!(
        "\n[policy.tokens.jwt]\naudience = \"gateway\"\n{more}\n[[policy.tokens.jwt.issuer]]\nname = \"loadtest\"\n\
         public_key = \"\"\"\n{key}\"\"\"\n"
    )
}

const GATEWAY: &str = r#"
[policy.keys.api_key]
header = "x-api-key"

[policy.sold.plan]

[policy.browsers.cors]
origins = "https://shop.example"

[plan.gold]
limits = [{ count = 4_000_000_000, per = "month" }, { count = 4_000_000, per = "1s" }]
concurrency = 10_000

[[consumer]]
name = "acme"
plan = "gold"
keys = [{ sha256 = "c79a5816e6336cc6374311e91478acd0a6d4a76d6ed84343aa42c4acde14f6c4" }]
"#;

const QUOTA: &str = r#"
[policy.monthly.rate_limit]
windows = [{ quota = 4_000_000_000, per = "month" }]
key = "header:X-Tenant"
counted_in = "store"
"#;

const KEY: &str = "loadtest-key-9c1d0f8e2b7a4c6d5e3f1a2b";

const ES256_KEY: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEpyoyo1R/789BrQmQyfCSF/ZUTdlw\n\
R8dEGaG29PrBd2aKj6bXdhkD3Y56AJnCP/Rbn08jClRjKzhX52gH/LDIjA==\n\
-----END PUBLIC KEY-----\n\
";

/// Of 16 clients.
const ES256_TOKENS: [&str; 16] = [
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzExIiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxMSJ9.\
     Yq5nCRBXVsaefvBIfQl-_U_RGmLmVWrEP-DepVI1CoHdZ4YlC2vZKZpAV5GW_reRWG82pYKxC-aSuV6Y6nmC9Q",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzEyIiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxMiJ9.\
     I558bk4N4__txhYhimd0A8fZ8T9sLELuSy7yRqlJ_3vP06iL4q8-n2ZFOKy9m8euTLM9YwX52eRQlDukivDaBw",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzEzIiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxMyJ9.\
     FgxP8DeQmOxolUpyA7yxryZwHoDgruqD_O_2iLT0Co43WVxSrYJa7KlhsENa_qQEGFEHUBic6x200C2iCC4zSA",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzE0IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxNCJ9.\
     C7R31-pDByywMyiQnXcSh_SitCkfZZukqnz66KXQkIlBkefj8HXpJ7-EbVjhjEEJK5N4Z_V50L0smmUhjg2sig",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzE1IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxNSJ9.\
     4C2m4muCoH7-q3-1yHSGTXElAhhkKQYQVbBCU1b5KwFf0O3gLangg4zky10WTXwUPaAeuU7J77E9Pqz7pUcWyw",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzE2IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxNiJ9.\
     nZVoWSPGAbKuqVpfCfca5YNOu9slhlqYkQqW0fwXKQDKliUXYgo4z2tWAdxbnw0CEhpK7v1RouDRtZvmS69z8A",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzE3IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxNyJ9.\
     bGDm5IKkT1WWGzybSsBQH1x0NRRRJoaF-JGOJPo1_AmLAEIgFzT05xtESXsgwaM9S2YfyDnptldNyTTl4WYg1w",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzE4IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxOCJ9.\
     4NBBPFvSNLBbT1KSv_d01Mxu5VVGb7nJZ0CZ0ByfHcArwh4DypvKQqOWro7xzxuafu67noFfrfe4CpeAuYln2Q",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzE5IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxOSJ9.\
     _hbF1fSLy05kk83F83YqeJOz_6kEu9th3qhKSAmgYRyOFZmbnVVy-6DLgu7UoA1qEOdV37y-lslLgeb7uUws8A",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzIwIiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcyMCJ9.\
     vhwwI7KiDxjHUN5BYUTnPWHtEFU3eYPTitjt3vqLVXe_nys9K-uu43WTPTKSZyhzS2qjJptYAcW5zyT5WNaPGg",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzIxIiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcyMSJ9.\
     w0kcdNxFgNQuz6nzkRwcQaKCdHgPniQ6DEd_ORiGYIUnGGiWMCXWOKF-WaCrcNXhY4FUzRpVQRd3DQlbn4g40Q",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzIyIiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcyMiJ9.\
     glG8ymgasXhNmTE3D7vp1FtKkmPDCjGg_liYfjxcQob1yCIWUcwUFvmO1Cf7egtmoTV_jMVJrHVfimbO_uZzBw",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzIzIiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcyMyJ9.\
     6_bPb-GuvvVY3_3g_s3hp6m615zchKLt7ebY8FjWKJ-_PJzJ6cfQcQrAiVcOJMcV89nefJ4V_bM7NMb6hqjXrQ",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzI0IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcyNCJ9.\
     0I3tOi7uWESw60yfGU_DvYj3WvlV2XlmaTYmOrkhQq0C0MKF0UYEuMmPcvQLLiFzxXWrnTmnd_x8D6NULI-j3A",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzI1IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcyNSJ9.\
     1z232umdsrLw8il7zvMbwZJMBwNO4JNNJa0tquwYPgmpWs-jWlAkDnJlzHKSZ5d2nAGgTS2vwP7nGEehVkfggw",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzI2IiwiYXVkIjoiZ2F0ZXdheS\
     IsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcyNiJ9.\
     9WcYMdTm5DAhWgwkyPvHGP02LyZYFcUofIOIOUlYB4ByTO19UWB40RrjTAGMF8fynqX0jBbOycWIzgqqlhZHNQ",
];

const RS256_KEY: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArx6aOHer+dxdOXrV0t3t\n\
N/A7J/3K1l+gTXpF477seA/U365igghtkFbmum1IzC5qOT1pSvlGB+MJfzWLudz3\n\
WdTUoL1b1F3GygBQwOBdM7vtgoXEzIM1NinSxTIUgriltsZPWR/Bl1HIR5hWgFm2\n\
R6CeoabUExE+2TLbB578fwR/xoOOk6vMKZKhzIus6vM5REfA8mf4yu3TmzDzP8L2\n\
ubYYjIyxRt7C1S59hV8cCKJPMRO9F1amV0OxtFRs9M/bp6/tJKjNNaBq0XFTiAhV\n\
bnUeYh5nX0yXFv6rbWHqdpPGApTbx1XdF3jkVhQk8KCzStmj2UQcxGyxfqfQbPy5\n\
vwIDAQAB\n\
-----END PUBLIC KEY-----\n\
";

const RS256_TOKEN: &str = "\
eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJsb2FkdGVzdCIsInN1YiI6ImNsaWVudC00NzExIiwiYXVkIjoiZ2F0ZXdheSIsI\
mV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzkwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJjbGllbnRfaWQiOiJjbGllbnQtNDcxMSJ9.pt\
u2NibAG1esjLduVxzCvYqN7kaEsLgbwfD-84Vn2Bi4SMtcyvaMLhiwAgqnQ8PJmxKlvFpNtpV0TL6-blxhDn0auGeFO2SECd58bYQ1_SQEJqOt\
YEgZcCN2TJO0B0JxgzlFQkUGDT20BVxnNbp7ZeJ-PZcAvNVhSSno2GpLzlPwfEaMiEH-TWGuH1KDhUU2QOuFZiDw2iDrk3FMJn9r8yPr5scVae\
QDk4aseeV5ljaNk87u6z8mTQybz8OJE75VM2rYNAauslJ_-1prTubKLtBn-90nulvWQ4jPUgYfh4FEBaVnqRQ07pLmjaB9YmKf6iuBjaTXcfqO\
8dVVFFFeRQ";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Guard;

    #[test]
    fn fields_are_whole_lines() {
        for guard in
            [Guard::None, Guard::Anyone, Guard::Key, Guard::Quota, Guard::Es256, Guard::Rs256, Guard::Es256Cold]
        {
            for fields in guard.fields() {
                let whole = |line: &str| line.ends_with("\r\n") && line.contains(": ");
                assert!(fields.split_inclusive("\r\n").all(whole), "{fields}");
            }
            assert_eq!(guard.tables(Path::new("/x")).is_empty(), guard.route().is_empty());
        }
    }
}
