//! What has to hold through a proxy, whichever it is. Numbers are those of the catalogue of attacks.

use super::world::{PASSWORD, World};
use e2e::{Client, Response};
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) run: fn(&mut World),
}

/// In this order: the last ones end sessions and the server.
pub(super) const ALL: [Case; 14] = [
    Case { name: "a public page passes without anybody", run: public },
    Case { name: "164 a page leads to the login page and back", run: page },
    Case { name: "164 scripts and API clients get 401", run: script },
    Case { name: "164 a WebSocket passes, or gets 401", run: websocket },
    Case { name: "a missing role is 403", run: role },
    Case { name: "two cookies of one name are cleared where they are", run: tossed },
    Case { name: "156 no header of the client chooses the request", run: spoofed_request },
    Case { name: "157 no spelling of a path gets past its rule", run: paths },
    Case { name: "158 no spelling of a host does", run: hosts },
    Case { name: "161 the application sees our identity only", run: identity },
    Case { name: "163 no method does", run: methods },
    Case { name: "167 an old sign-in is asked for again", run: recent },
    Case { name: "after logout nothing passes", run: logout },
    Case { name: "166 Jotgate away or slow is 5xx", run: away },
];

pub(super) const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// What the application saw of a request; none where it saw nothing.
pub(super) fn seen(response: &Response) -> Option<Value> {
    let value: Value = serde_json::from_slice(&response.body).ok()?;
    (response.status == 200 && value["backend"] == true).then_some(value)
}

#[track_caller]
pub(super) fn passed(response: &Response, what: &str) -> Value {
    seen(response).unwrap_or_else(|| panic!("{what} did not pass: {}", shown(response)))
}

/// Nothing of the application may be in what came back. (For a host that no site of it is for, Caddy says 200 and
/// nothing.)
#[track_caller]
pub(super) fn refused(response: &Response, what: &str) {
    let body = String::from_utf8_lossy(&response.body);
    assert!(
        (response.status >= 300 || body.is_empty()) && !body.contains("backend"),
        "{what} was not refused: {}",
        shown(response)
    );
}

pub(super) fn shown(response: &Response) -> String {
    format!("{} {:?} {}", response.status, response.headers, String::from_utf8_lossy(&response.body))
}

/// Signed in at Jotgate through the proxy, as a browser does it.
struct Person {
    /// At `auth.example.com`.
    auth: Client,
    /// What the browser sends to `app.example.com`.
    cookie: String,
}

/// A hidden field of a form, as a browser would send it.
pub(super) fn hidden(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\"")).expect("a hidden field");
    rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

/// From the page at `path` of the application by way of the login page back to it.
fn sign_in(world: &World, name: &str, path: &str) -> Person {
    let page = format!("https://app.example.com:{}{path}", world.port);
    let answer = world.client("app.example.com").get(path).header("Accept", HTML).send();
    assert_eq!(answer.status, 302, "{}", shown(&answer));
    let location = answer.header("location").expect("a place to go").to_owned();
    let login =
        location.strip_prefix(&format!("https://auth.example.com:{}", world.port)).expect("the login page");
    let mut auth = world.client("auth.example.com");
    let form = auth.get(login).header("Accept", HTML).send().is(200);
    let html = String::from_utf8_lossy(&form.body).into_owned();
    post_login(&mut auth, name, &html, &page, world)
}

fn post_login(auth: &mut Client, name: &str, html: &str, page: &str, world: &World) -> Person {
    let (token, back_to) = (hidden(html, "form_token"), hidden(html, "return_to"));
    let fields =
        [("form_token", &*token), ("return_to", &*back_to), ("username", name), ("password", PASSWORD)];
    let origin = format!("https://auth.example.com:{}", world.port);
    let back = auth.post("/login").header("Origin", &origin).form(&fields).send();
    assert_eq!((back.status, back.header("location")), (303, Some(page)), "{}", shown(&back));
    let cookie =
        auth.cookies().iter().find(|cookie| cookie.name == "__Secure-jwt").expect("the access cookie");
    assert_eq!(cookie.attribute("domain").map(|domain| domain.trim_start_matches('.')), Some("example.com"));
    Person { cookie: format!("{}={}", cookie.name, cookie.value), auth: auth.clone() }
}

impl Person {
    fn get(&self, world: &World, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut client = world.client("app.example.com");
        let ask = client.get(path).header("Cookie", &self.cookie);
        headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send()
    }
}

fn anonymous(world: &World, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut client = world.client("app.example.com");
    headers.iter().fold(client.get(path), |ask, (name, value)| ask.header(name, value)).send()
}

fn public(world: &mut World) {
    let view = passed(&anonymous(world, "/public/a?b=c", &[]), "a public page");
    assert_eq!(view["target"], "/public/a?b=c");
    for (name, value) in identity_of(&view) {
        assert_eq!(value, "", "{name}");
    }
    refused(&anonymous(world, "/", &[]), "a page that is not");
}

fn page(world: &mut World) {
    let ada = sign_in(world, "ada", "/wiki/Start?x=1&y=%2F");
    let view = passed(&ada.get(world, "/wiki/Start?x=1&y=%2F", &[("Accept", HTML)]), "the page");
    assert_eq!(view["target"], "/wiki/Start?x=1&y=%2F");
    assert!(identity_of(&view).contains(&("x-auth-username".to_owned(), "ada".to_owned())), "{view}");
    assert!(identity_of(&view).contains(&("x-auth-roles".to_owned(), "staff".to_owned())), "{view}");
}

fn script(world: &mut World) {
    for headers in [
        &[("Accept", "application/json")][..],
        &[("Accept", "*/*"), ("X-Requested-With", "XMLHttpRequest")],
        &[("Accept", HTML), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")],
        &[],
    ] {
        let answer = anonymous(world, "/data", headers);
        refused(&answer, "a script");
        assert_eq!(answer.status, 401, "{headers:?}: {}", shown(&answer));
    }
}

/// The answer to a WebSocket's handshake, and the connection.
fn shake_hands(world: &World, path: &str, cookie: &str) -> (Response, e2e::Wire) {
    let mut wire = world.client("app.example.com").connect();
    wire.write(
        format!(
            "GET {path} HTTP/1.1\r\nHost: app.example.com:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Origin: https://app.example.com:{}\r\n{cookie}\r\n",
            world.port, world.port
        )
        .as_bytes(),
    );
    (wire.read("GET").expect("an answer"), wire)
}

fn websocket(world: &mut World) {
    let (answer, _) = shake_hands(world, "/socket", "");
    refused(&answer, "a WebSocket without anybody");
    assert_eq!(answer.status, 401, "{}", shown(&answer));
    let ada = sign_in(world, "ada", "/");
    let (answer, mut wire) =
        shake_hands(world, "/socket", &format!("Cookie: {}\r\nX-Auth-Username: root\r\n", ada.cookie));
    assert_eq!(answer.status, 101, "{}", shown(&answer));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("x-seen-user"), Some("ada"));
    // A masked text frame, as a browser sends it; the application sends back what it gets.
    let frame = b"\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e";
    wire.write(frame);
    assert_eq!(wire.read_bytes(frame.len()), frame);
    let (answer, _) = shake_hands(world, "/admin/socket", &format!("Cookie: {}\r\n", ada.cookie));
    assert_eq!(answer.status, 403, "{}", shown(&answer));
}

fn role(world: &mut World) {
    let ada = sign_in(world, "ada", "/");
    let answer = ada.get(world, "/admin/users", &[("Accept", HTML)]);
    refused(&answer, "a page for administrators");
    assert_eq!(answer.status, 403, "{}", shown(&answer));
    let grace = sign_in(world, "grace", "/admin/users");
    passed(&grace.get(world, "/admin/users", &[]), "an administrator");
}

/// Names that somebody takes for the original request, or for who sent it.
pub(super) const FORWARDING: [&str; 12] = [
    "Forwarded",
    "X-Forwarded-Method",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Uri",
    "X-Original-Method",
    "X-Original-URL",
    "X-Real-IP",
    "X-Rewrite-URL",
    "X_Forwarded_Uri",
    "X_Original_URL",
];

/// A sibling set one of our name for a deep path: whoever goes there is refused once, and rid of it.
fn tossed(world: &mut World) {
    let ada = sign_in(world, "ada", "/");
    let twice = format!("__Secure-jwt=x; {}", ada.cookie);
    for accept in [HTML, "*/*"] {
        let answer = anonymous(world, "/wiki/a/b/page?x=/c", &[("Cookie", &twice), ("Accept", accept)]);
        refused(&answer, "two cookies of one name");
        assert_eq!(answer.status, 400, "{}", shown(&answer));
        all_cleared(&answer);
    }
    let mut client = world.client("app.example.com");
    let posted = client.post("/wiki/a/b/page").header("Cookie", &twice).form(&[("a", "b")]).send();
    assert_eq!(posted.status, 400, "{}", shown(&posted));
    all_cleared(&posted);
}

/// In each scope that a request for `/wiki/a/b/page` at `app.example.com` can have them from.
#[track_caller]
pub(super) fn all_cleared(answer: &Response) {
    let set = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let set: Vec<&str> = set.map(|(_, value)| value.as_str()).collect();
    for path in ["/", "/wiki", "/wiki/a/", "/wiki/a/b", "/wiki/a/b/page"] {
        for domain in ["", "Domain=example.com; ", "Domain=app.example.com; "] {
            let line = format!("__Secure-jwt=; Path={path}; {domain}Max-Age=0; Secure");
            assert!(set.iter().any(|set| set.starts_with(&line)), "{line} in {}", shown(answer));
        }
    }
}

fn spoofed_request(world: &mut World) {
    let ada = sign_in(world, "ada", "/");
    let app = format!("https://app.example.com:{}/public", world.port);
    for (name, value) in [
        ("X-Forwarded-Uri", "/public"),
        ("X-Forwarded-Host", "app.example.com"),
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Path", "/public"),
        ("X-Forwarded-Prefix", "/public"),
        ("X-Original-URL", app.as_str()),
        ("X-Original-Uri", "/public"),
        ("X-Original-Method", "GET"),
        ("X-Rewrite-URL", "/public"),
        ("Forwarded", "for=127.0.0.1;host=app.example.com;proto=https"),
        ("X_Forwarded_Uri", "/public"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Connection", "X-Forwarded-Uri"),
        ("Connection", "X-Original-URL, X-Forwarded-Host"),
    ] {
        refused(&ada.get(world, "/admin/users", &[(name, value)]), name);
        refused(&anonymous(world, "/private", &[(name, value)]), name);
        refused(&anonymous(world, "/private", &[(name, value), (name, value)]), name);
    }
    let whole = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "app.example.com"),
        ("X-Forwarded-Uri", "/public"),
        ("X-Original-Method", "GET"),
        ("X-Original-URL", app.as_str()),
    ];
    for set in [&whole[..4], &whole[4..], &whole[..]] {
        refused(&ada.get(world, "/admin/users", set), "a whole set of headers");
        refused(&anonymous(world, "/private", set), "a whole set of headers");
    }
    // Frameworks take some of these for the request: none of them reaches the application.
    for name in FORWARDING {
        let answer = anonymous(world, "/public", &[(name, "/admin/canary")]);
        assert!(!String::from_utf8_lossy(&answer.body).contains("canary"), "{name}: {}", shown(&answer));
    }
    let usual =
        [("X-Forwarded-Uri", "/admin"), ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Proto", "http")];
    let view = passed(&anonymous(world, "/public", &usual), "a public page").to_string();
    assert!(!view.contains("evil.test") && !view.contains("/admin"), "{view}");
}

pub(super) fn raw(world: &World, request_line: &[u8], host: &str, cookie: &str) -> Response {
    let rest = format!("\r\nHost: {host}\r\nConnection: close\r\n{cookie}\r\n");
    let mut wire = world.client("app.example.com").connect();
    wire.write(&[request_line, rest.as_bytes()].concat());
    // Read as it comes: what a proxy says to what is no request is seldom in form, if it says anything.
    let answer = wire.read_all();
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let body =
        answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(&answer[..], |end| &answer[end + 4..]);
    Response { status: status.unwrap_or(400), headers: Vec::new(), body: body.to_vec() }
}

/// Spellings of `/admin`, for whoever reads them so.
pub(super) const PATHS: [&str; 33] = [
    "/admin",
    "/admin/",
    "/public/../admin",
    "/public/./../admin",
    "//admin",
    "///admin",
    "/./admin",
    "/admin;x",
    "/admin;x=1/users",
    "/;a/admin",
    "/public/..;/admin",
    "/%61dmin",
    "/%2561dmin",
    "/public/%2e%2e/admin",
    "/public/%2E%2E/admin",
    "/public/.%2e/admin",
    "/public/..%2fadmin",
    "/public%2f..%2fadmin",
    "/%2fadmin",
    "/%2Fadmin",
    "/admin%2f",
    "/admin%2fusers",
    "/public/%252e%252e/admin",
    "/public/..%252fadmin",
    "/public/..%5cadmin",
    "/public\\..\\admin",
    "/public/..\\admin",
    "/\\admin",
    "/admin%3fx",
    "/admin%23x",
    "/admin?x=/public",
    "/ADMIN",
    "/public/../Admin/users",
];

fn paths(world: &mut World) {
    let ada = sign_in(world, "ada", "/");
    let host = format!("app.example.com:{}", world.port);
    let cookie = format!("Cookie: {}\r\n", ada.cookie);
    for path in PATHS {
        let line = format!("GET {path} HTTP/1.1");
        refused(&raw(world, line.as_bytes(), &host, &cookie), path);
        refused(&raw(world, line.as_bytes(), &host, ""), path);
    }
    for line in [
        &b"GET /public/%00 HTTP/1.1"[..],
        b"GET /public/\0/../../admin HTTP/1.1",
        b"GET /public/%ff HTTP/1.1",
        b"GET /public/\xff/../../admin HTTP/1.1",
        b"GET /public/%c0%ae%c0%ae/admin HTTP/1.1",
        b"GET /public/%zz/../admin HTTP/1.1",
        b"GET /public/\x7f HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /private HTTP/1.1",
        b"GET /public#/../admin HTTP/1.1",
    ] {
        let shown = String::from_utf8_lossy(line).into_owned();
        refused(&raw(world, line, &host, ""), &shown);
        if !shown.contains("private") {
            refused(&raw(world, line, &host, &cookie), &shown);
        }
    }
    // The absolute form: whichever host the proxy goes by, the same is judged.
    let line = format!("GET https://{host}/admin HTTP/1.1");
    refused(&raw(world, line.as_bytes(), &host, &cookie), &line);
    let line = format!("GET https://{host}/private HTTP/1.1");
    refused(&raw(world, line.as_bytes(), "other.example.com", ""), &line);
}

fn hosts(world: &mut World) {
    let ada = sign_in(world, "ada", "/");
    let cookie = format!("Cookie: {}\r\n", ada.cookie);
    for host in ["APP.EXAMPLE.COM", "app.example.com.", "App.Example.com.:8443", "app.example.com:8443"] {
        refused(&raw(world, b"GET /admin HTTP/1.1", host, &cookie), host);
        refused(&raw(world, b"GET /private HTTP/1.1", host, ""), host);
    }
    for host in [
        "evil-app.example.com",
        "evilapp.example.com",
        "a.app.example.com",
        "app.example.com.evil.test",
        "evil.test",
        "app.example.comx",
        "app.example.com@evil.test",
        "127.0.0.1",
        "localhost",
        "",
    ] {
        for path in ["GET /private HTTP/1.1", "GET /public HTTP/1.1"] {
            refused(&raw(world, path.as_bytes(), host, &cookie), host);
        }
    }
    // Two hosts, or one after another proxy's fashion.
    let two = format!("app.example.com:{}\r\nHost: evil.test", world.port);
    refused(&raw(world, b"GET /admin HTTP/1.1", &two, &cookie), "two hosts");
}

/// Every header of the application's view that any application could take for one of ours.
fn identity_of(view: &Value) -> Vec<(String, String)> {
    let alike = |name: &str| {
        let dashed: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        dashed.starts_with("x-auth-").then_some(dashed)
    };
    let pairs = view["headers"].as_array().unwrap().iter();
    pairs.filter_map(|pair| Some((alike(pair[0].as_str()?)?, pair[1].as_str()?.to_owned()))).collect()
}

fn identity(world: &mut World) {
    let ada = sign_in(world, "ada", "/");
    let mine = identity_of(&passed(&ada.get(world, "/x", &[]), "the page"));
    let spoofs: Vec<(String, &str)> =
        ["X-Auth-User", "X-Auth-Username", "X-Auth-Email", "X-Auth-Roles", "X-Auth-Scopes", "X-Auth-Session"]
            .iter()
            .flat_map(|name| {
                let turned = [
                    (*name).to_owned(),
                    name.to_lowercase(),
                    name.to_uppercase(),
                    name.replace('-', "_"),
                    name.replacen('-', "_", 1),
                    name.replace("Auth-", "Auth_"),
                    name.replace('-', "_").to_uppercase(),
                    name.replace('-', "."),
                ];
                turned.into_iter().map(|name| (name, "root"))
            })
            .collect();
    let spoofs: Vec<(&str, &str)> = spoofs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    for spoof in &spoofs {
        for set in [&[*spoof][..], &[*spoof, *spoof]] {
            let answer = ada.get(world, "/x", set);
            if let Some(view) = seen(&answer) {
                assert_eq!(identity_of(&view), mine, "{set:?}");
            }
            let answer = anonymous(world, "/public", set);
            if let Some(view) = seen(&answer) {
                assert!(identity_of(&view).iter().all(|(_, value)| value.is_empty()), "{set:?}: {view}");
            }
            let answer = anonymous(world, "/x", set);
            refused(&answer, spoof.0);
        }
    }
    // The usual name, the usual way: the application gets ours, and is not kept from it.
    let usual = [("X-Auth-User", "root"), ("X-Auth-Username", "root"), ("X-Auth-Roles", "admin")];
    assert_eq!(identity_of(&passed(&ada.get(world, "/x", &usual), "a spoof")), mine);
    // A header named in `Connection` is for the proxy alone, which drops it: not ours.
    for named in ["X-Auth-User", "x-auth-username, x-auth-roles", "close, X-Auth-User", "X_Auth_User"] {
        let answer = ada.get(
            world,
            "/x",
            &[("Connection", named), ("X-Auth-User", "root"), ("X-Auth-Username", "root")],
        );
        if let Some(view) = seen(&answer) {
            assert_eq!(identity_of(&view), mine, "Connection: {named}");
        }
    }
}

fn methods(world: &mut World) {
    passed(&anonymous(world, "/api/x", &[]), "GET of what is public to GET");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "Get", "PATCH", "BREW"] {
        for headers in [&[][..], &[("X-Forwarded-Method", "GET")], &[("X-Original-Method", "GET")]] {
            let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let host = format!("app.example.com:{}", world.port);
            let line = format!("{method} /api/x HTTP/1.1");
            refused(&raw(world, line.as_bytes(), &host, &format!("Content-Length: 0\r\n{head}")), method);
        }
    }
    let preflight = [("Origin", "https://evil.test"), ("Access-Control-Request-Method", "GET")];
    let mut client = world.client("app.example.com");
    let ask = client.request("OPTIONS", "/private");
    let answer = preflight.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send();
    refused(&answer, "a preflight");
    // A body stays with the request, and is not sent to Jotgate.
    let ada = sign_in(world, "ada", "/");
    let mut client = world.client("app.example.com");
    let answer = client.post("/form").header("Cookie", &ada.cookie).form(&[("a", "b")]).send();
    assert_eq!(passed(&answer, "a form")["method"], "POST");
}

fn recent(world: &mut World) {
    let mut ada = sign_in(world, "ada", "/money/send?to=bob");
    passed(&ada.get(world, "/money/send?to=bob", &[]), "a fresh sign-in");
    std::thread::sleep(Duration::from_millis(11_500));
    passed(&ada.get(world, "/x", &[]), "another page");
    let answer = ada.get(world, "/money/send?to=bob", &[("Accept", "application/json")]);
    refused(&answer, "an old sign-in");
    assert_eq!(answer.status, 401, "{}", shown(&answer));
    let page = format!("https://app.example.com:{}/money/send?to=bob", world.port);
    let answer = ada.get(world, "/money/send?to=bob", &[("Accept", HTML)]);
    assert_eq!(answer.status, 302, "{}", shown(&answer));
    let location = answer.header("location").unwrap().to_owned();
    let login =
        location.strip_prefix(&format!("https://auth.example.com:{}", world.port)).expect("the login page");
    let form = ada.auth.get(login).header("Accept", HTML).send().is(200);
    let html = String::from_utf8_lossy(&form.body).into_owned();
    assert!(html.contains("Sign in again") && html.contains("type=\"password\""), "{html}");
    let again = post_login(&mut ada.auth, "ada", &html, &page, world);
    passed(&again.get(world, "/money/send?to=bob", &[]), "the new sign-in");
}

fn logout(world: &mut World) {
    let mut ada = sign_in(world, "ada", "/");
    passed(&ada.get(world, "/x", &[]), "before");
    let origin = format!("https://auth.example.com:{}", world.port);
    let begin = Instant::now();
    let answer = ada.auth.post("/auth/logout").header("Origin", &origin).json(&serde_json::json!({})).send();
    assert_eq!(answer.status, 204, "{}", shown(&answer));
    let answer = ada.get(world, "/x", &[]);
    refused(&answer, "after the logout");
    assert_eq!(answer.status, 401, "{}", shown(&answer));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

fn away(world: &mut World) {
    let ada = sign_in(world, "ada", "/");
    passed(&ada.get(world, "/x", &[]), "before");
    let failed = |world: &World, what: &str| {
        for path in ["/x", "/public"] {
            let answer = ada.get(world, path, &[("Accept", HTML)]);
            refused(&answer, what);
            assert!(answer.status >= 500, "{what}: {}", shown(&answer));
        }
    };
    world.server.freeze();
    let begin = Instant::now();
    let answer = ada.get(world, "/x", &[]);
    let waited = begin.elapsed();
    std::thread::sleep(Duration::from_secs(3).saturating_sub(waited));
    world.server.signal(Signal::CONT);
    refused(&answer, "slow");
    assert!(answer.status >= 500 && waited < Duration::from_millis(3_500), "{waited:?}: {}", shown(&answer));
    comes_back(world, &ada);
    world.server.kill_9();
    failed(world, "down");
    world.server.start_again();
    comes_back(world, &ada);
}

/// Once Jotgate is there again, so is the application.
fn comes_back(world: &World, ada: &Person) {
    let begin = Instant::now();
    while seen(&ada.get(world, "/x", &[])).is_none() {
        assert!(begin.elapsed() < Duration::from_secs(15), "the proxy does not find back to Jotgate");
        std::thread::sleep(Duration::from_millis(100));
    }
}
