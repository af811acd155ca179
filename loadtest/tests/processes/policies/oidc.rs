// SPDX-License-Identifier: Apache-2.0
//! People sign in at an issuer of others (`oidc-provider`), with curl and its cookie jar, and with a real browser where
//! there is one.

use std::process::{Child, Stdio};
use std::time::Duration;

use loadtest::socket::Reserved;
use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::gateway::signal;
use crate::harness::tool::{browser, node, node_command, reserved, run};
use crate::harness::{Gateway, Origin, Setup, wait_for};

/// An issuer made of `oidc-provider`, and the gateway as its client.
struct Site {
    issuer: Reserved,
    child: Child,
    gateway: Gateway,
    _own: Reserved,
    origin: Origin,
}

impl Site {
    fn start(shards: usize, more: &str) -> Site {
        let (issuer, own, origin) = (reserved(), reserved(), Origin::echo());
        let (port, here) = (issuer.address().port().to_string(), format!("http://{}", own.address()));
        let mut command = node_command("oidc_issuer.js", &[&port, &here]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("node runs");
        let address = issuer.address();
        wait_for("the issuer", || Client::try_to(address).ok());
        let config = format!(
            "[[listener]]\nname = \"web\"\nbind = \"{}\"\n[policy.sign_in.oidc]\nissuer = \"http://{address}\"\n\
             client_id = \"gateway\"\nclient_secret = \"a secret & more\"\nscopes = [\"email\", \"groups\"]\n\
             redirect_url = \"{here}/oidc/callback\"\nuserinfo = true\nlogout_path = \"/oidc/logout\"\n\
             cookie_secret = \"0123456789abcdef0123456789abcdef\"\nlogin_path = \"/oidc/login\"\n\
             backchannel_logout_path = \"/oidc/notice\"\nafter_logout = \"/bye\"\n\
             claim_headers = {{ X-User = \"sub\", X-Email = \"email\", X-Groups = \"groups\" }}\n{more}\n\
             [[route]]\npath = \"/bye\"\nanswer = {{ status = 200, body = \"bye\" }}\n\
             [[route]]\npath_prefix = \"/\"\nto = \"{}\"\npolicies = \"sign_in\"\n",
            own.address(),
            origin.url()
        );
        let gateway = Setup::new(config).shards(shards).start();
        Site { issuer, child, gateway, _own: own, origin }
    }

    /// Follows redirects with the cookies of a person; the status, where it ended, and the body.
    fn browse(&self, person: &str, target: &str, more: &[&str]) -> (u16, String, String) {
        let jar = self.gateway.path(&format!("{person}.jar"));
        let jar = jar.to_str().expect("a path");
        let url = if target.starts_with("http") { target.to_owned() } else { self.gateway.url(target) };
        let fixed = ["-sS", "-L", "--max-redirs", "20", "-b", jar, "-c", jar, "-H", "Accept: text/html"];
        let end = ["-w", "\n%{http_code} %{url_effective}", &url];
        let said = run("curl", &[&fixed[..], more, &end[..]].concat());
        assert_eq!(said.code, 0, "{}", said.all());
        let text = said.text();
        let (body, last) = text.rsplit_once('\n').expect("what -w says");
        let (status, place) = last.split_once(' ').expect("two words");
        (status.parse().expect("a status"), place.to_owned(), body.to_owned())
    }

    /// Signs somebody in who wants to see this page, and says where that ended.
    fn sign_in(&self, person: &str, target: &str) -> (u16, String, String) {
        let (status, form, _) = self.browse(person, target, &[]);
        assert_eq!(status, 200, "{form}");
        assert!(form.contains("/interaction/"), "{form}");
        let fields = ["-d", "prompt=login", "-d", &format!("login={person}"), "-d", "password=x"];
        let (_, form, page) = self.browse(person, &form, &fields);
        if !form.contains("/interaction/") {
            return self.browse(person, &form, &[]);
        }
        assert!(page.contains("consent"), "{page}");
        self.browse(person, &form, &["-d", "prompt=consent"])
    }

    fn refreshed(&self) -> u64 {
        Client::to(self.issuer.address()).get("/refreshed").text().parse().expect("a number")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

#[test]
fn a_person_signs_in_and_out_and_the_upstream_knows_who_it_is() {
    let site = Site::start(2, "");
    let (status, place, _) = site.sign_in("anna", "/orders?x=1");
    assert_eq!((status, place), (200, site.gateway.url("/orders?x=1")));
    let request = site.origin.last();
    assert_eq!((request.field("x-user"), request.field("x-email")), ("anna", "anna@example.test"));
    assert_eq!(request.field("x-groups"), "staff,anna");
    // The issuer's cookies are of the same host, and pass.
    let mine = request.field("cookie").split("; ").any(|cookie| cookie.starts_with("session"));
    assert!(!mine, "{}", request.field("cookie"));
    // On either thread, without the issuer.
    for number in 0..10 {
        assert_eq!(site.browse("anna", &format!("/page/{number}"), &[]).0, 200);
    }
    // A script is told, and not sent round.
    let stranger = site.gateway.get("/orders");
    assert_eq!((stranger.status, stranger.field("content-type")), (401, "application/problem+json"));
    // Cookies that somebody has copied end with the session.
    std::fs::copy(site.gateway.path("anna.jar"), site.gateway.path("thief.jar")).expect("copied");
    let (status, form, page) = site.browse("anna", "/oidc/logout", &[]);
    assert_eq!(status, 200, "{form}");
    assert!(form.contains("/session/end") && page.contains("logout"), "{form}");
    let (status, place, _) = site.browse("thief", "/orders", &["--max-redirs", "0", "-H", "Sec-Fetch-Mode: cors"]);
    assert_eq!(status, 401, "{place}");
}

#[test]
fn tokens_are_renewed_in_time_and_once() {
    let site = Site::start(2, "access_token_header = \"X-Access-Token\"");
    site.sign_in("bob", "/");
    let first = site.origin.last().field("x-access-token").to_owned();
    assert!(!first.is_empty());
    let before = site.refreshed();
    std::thread::sleep(Duration::from_secs(5));
    // Several at once, as a browser that loads a page.
    let urls: Vec<String> = (0..6).map(|number| site.gateway.url(&format!("/asset/{number}"))).collect();
    let jar = site.gateway.path("bob.jar");
    let fixed = ["-sS", "-Z", "-b", jar.to_str().expect("a path"), "-w", "%{http_code}\n", "-o", "/dev/null"];
    let mut arguments: Vec<&str> = fixed.to_vec();
    for (at, url) in urls.iter().enumerate() {
        if at > 0 {
            arguments.extend(["-o", "/dev/null"]);
        }
        arguments.extend(["--url", url.as_str()]);
    }
    let said = run("curl", &arguments);
    assert_eq!(said.text().lines().filter(|line| *line == "200").count(), 6, "{}", said.all());
    assert_eq!(site.refreshed(), before + 1);
    assert_ne!(site.origin.last().field("x-access-token"), first);
}

#[test]
fn who_signs_out_at_the_issuer_is_signed_out_here() {
    let site = Site::start(2, "");
    site.sign_in("carl", "/");
    assert_eq!(site.browse("carl", "/", &["-H", "Sec-Fetch-Mode: cors"]).0, 200);
    // Another login of the same person at the same issuer's session ends with it; that of somebody else does not.
    site.sign_in("dora", "/");
    let end = format!("http://{}/session/end", site.issuer.address());
    let (_, form, page) = site.browse("carl", &end, &[]);
    let secret = page.split("name=\"xsrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let fields = ["-d", &*format!("xsrf={secret}"), "-d", "logout=yes"];
    site.browse("carl", &format!("{form}/confirm"), &fields);
    let cors = ["-H", "Sec-Fetch-Mode: cors"];
    wait_for("the end of the session", || (site.browse("carl", "/", &cors).0 == 401).then_some(()));
    assert_eq!(site.browse("dora", "/", &cors).0, 200);
}

#[test]
fn a_login_is_good_for_one_browser_and_once() {
    let site = Site::start(1, "");
    let begin = |jar: &str| {
        let path = site.gateway.path(jar);
        let path = path.to_str().expect("a path").to_owned();
        let url = site.gateway.url("/");
        let arguments = ["-sS", "-b", &path, "-c", &path, "-H", "Accept: text/html", "-w", "%{redirect_url}", &url];
        run("curl", &arguments).text()
    };
    let of = |url: &str, name: &str| {
        let start = url.find(&format!("{name}=")).expect(name) + name.len() + 1;
        url[start..].split('&').next().expect("a value").to_owned()
    };
    let (mine, theirs) = (begin("eve.jar"), begin("victim.jar"));
    let issuer = format!("http%3A%2F%2F{}", site.issuer.address().to_string().replace(':', "%3A"));
    let (mine, theirs) = (of(&mine, "state"), of(&theirs, "state"));
    let call = |jar: &str, query: String| site.browse(jar, &format!("/oidc/callback?{query}"), &[]);
    // The state of another browser; another issuer; none although this one always says who it is.
    assert_eq!(call("victim", format!("code=x&state={mine}&iss={issuer}")).0, 400);
    assert_eq!(call("victim", format!("code=x&state={theirs}&iss=http%3A%2F%2Fevil.test")).0, 400);
    assert_eq!(call("victim", format!("code=x&state={theirs}")).0, 400);
    // An error is a page. The same response is not taken twice.
    let (status, place, page) = call("eve", format!("error=access_denied&state={mine}&iss={issuer}"));
    assert_eq!(status, 403, "{place}");
    assert!(page.contains("<h1>Not signed in</h1>"), "{page}");
    assert_eq!(call("eve", format!("code=x&state={mine}&iss={issuer}")).0, 400);
    assert_eq!(site.origin.count(), 0);
}

#[test]
fn operators_see_sessions_and_end_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("[store]\npath = \"{}\"", folder.path().join("turnpike.db").display());
    let site = Site::start(2, &store);
    site.sign_in("anna", "/");
    let admin = |method: &str, target: &str| site.gateway.admin(method, target).expect("an answer");
    let listed = || serde_json::from_str::<Value>(&admin("GET", "/api/v1/sessions?subject=anna").text()).expect("JSON");
    wait_for("the session", || (listed()["items"].as_array()?.len() == 1).then_some(()));
    let session = listed()["items"][0].clone();
    assert_eq!((&session["label"], &session["policy"]), (&"anna@example.test".into(), &"sign_in".into()));
    let id = session["id"].as_str().expect("a text");
    assert_eq!(admin("DELETE", &format!("/api/v1/sessions/{id}")).status, 204);
    wait_for("its end", || (site.browse("anna", "/", &["-H", "Sec-Fetch-Mode: cors"]).0 == 401).then_some(()));
    wait_for("an empty list", || listed()["items"].as_array()?.is_empty().then_some(()));
}

#[test]
fn a_real_browser_signs_in_and_calls_from_pages() {
    let Some(browser) = browser() else { return };
    let site = Site::start(2, "");
    let said = node("browser_login.js", &[browser, &site.gateway.url("/orders")]);
    assert_eq!(said.code, 0, "{}", said.all());
    let found: Value = serde_json::from_str(said.text().lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!(found["place"], site.gateway.url("/orders"), "{found}");
    let cookie = &found["cookie"];
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&true.into(), &"Lax".into()), "{found}");
    assert_eq!((&found["fetched"], &found["strangers"]), (&200.into(), &401.into()), "{found}");
    assert_eq!(site.origin.last().field("x-user"), "frida");
}
