// SPDX-License-Identifier: Apache-2.0
//! Routes by who calls and by what the request is, as curl sees them.

use crate::harness::Setup;
use crate::harness::tool::run;

const ROUTES: &str = r#"
[[listener]]
name = "web"
bind = "127.0.0.1:0"
policies = "keys"
[policy.keys]
api_key = { anonymous = "guest" }
[[consumer]]
name = "guest"
[[consumer]]
name = "acme"
groups = ["partners"]
keys = [{ key = "acme-demo-key-0001" }]
[[route]]
name = "partners"
path_text_prefix = "/api"
group = "partners"
not = [{ methods = "DELETE" }, { headers = { x-env = "test" } }]
answer = { body = "partners" }
[[route]]
name = "api"
path_text_prefix = "/api"
answer = { body = "api" }
[[route]]
name = "legacy"
any = [{ hosts = '~legacy-\d+\.test' }, { path_prefix = "/v0" }]
answer = { body = "legacy" }
[[route]]
name = "strict"
when = 'request.headers[?"x-mode"].orValue("") == "strict"'
answer = { body = "strict" }
[[route]]
name = "rest"
answer = { body = "rest" }
"#;

#[test]
fn curl_reaches_the_route_that_is_meant() {
    let gateway = Setup::new(ROUTES).start();
    let key = "X-API-Key: acme-demo-key-0001";
    for (target, more, expected) in [
        ("/apis/x", &["-H", key][..], "partners"),
        ("/api", &["-H", key], "partners"),
        ("/api", &["-H", key, "-X", "DELETE"], "api"),
        ("/api", &["-H", key, "-H", "X-Env: test"], "api"),
        ("/apix", &[], "api"),
        ("/ap", &[], "rest"),
        ("/v0/x", &[], "legacy"),
        ("/x", &["-H", "Host: legacy-7.test"], "legacy"),
        ("/x", &["-H", "Host: legacy-x.test"], "rest"),
        ("/x", &["-H", "X-Mode: strict"], "strict"),
        ("/x", &["-H", key], "rest"),
    ] {
        let url = gateway.url(target);
        let text = run("curl", &[&["-s"], more, &[&*url]].concat()).text();
        assert_eq!(text, expected, "{target} {more:?}");
    }
}
