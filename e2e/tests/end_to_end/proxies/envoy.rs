//! Envoy is no package here. Its question is documented and small, and is sent as it sends it: `ext_authz` over HTTP
//! with `path_prefix` repeats method, path and `Host` of the original request, without its body, and with the headers
//! that are allowed. Prefix, time and headers are read from `examples/proxies/envoy.yaml`, so that what is tested here is
//! what that file makes of Envoy.

use super::cases::{self, HTML, PATHS};
use super::world::{PASSWORD, World};
use super::{Outcome, tried};
use e2e::Response;
use serde_json::json;
use std::sync::LazyLock;
use yaml_rust2::{Yaml, YamlLoader};

const IDENTITY: [&str; 6] =
    ["x-auth-user", "x-auth-username", "x-auth-email", "x-auth-roles", "x-auth-scopes", "x-auth-session"];

/// In the order of the cases.
pub(super) fn outcomes(world: &mut World) -> Vec<Outcome> {
    cases::ALL
        .iter()
        .map(|case| {
            let run: fn(&mut World) = match case.name.split(' ').next() {
                Some("a") if case.name.contains("public") => public,
                Some("a") => role,
                Some("two") => tossed,
                Some("156") => spoofed,
                Some("157") => paths,
                Some("158") => hosts,
                Some("163") => methods,
                Some("164") if case.name.contains("page") => page,
                Some("164") => program,
                Some("167") => recent,
                Some("after") => logout,
                // What Envoy itself does: it puts our headers in place of the client's, and refuses without an answer.
                _ => return Outcome::NotHere,
            };
            tried(|| run(world))
        })
        .collect()
}

/// What the shipped file says.
struct Shipped {
    prefix: String,
    timeout_ms: u64,
    /// Which of the original request's headers the question has.
    allowed: Vec<Pattern>,
    /// Which of the answer's reach the application, and which, of a refusal, the client.
    to_application: Vec<Pattern>,
    to_client: Vec<Pattern>,
}

enum Pattern {
    Exact(String),
    Prefix(String),
}

static SHIPPED: LazyLock<Shipped> = LazyLock::new(|| {
    let filter = &http_filters(&file())[0]["typed_config"];
    let service = &filter["http_service"];
    let timeout = text(&service["server_uri"]["timeout"]);
    Shipped {
        prefix: text(&service["path_prefix"]),
        timeout_ms: timeout.strip_suffix('s').expect("seconds").parse::<u64>().unwrap() * 1000,
        allowed: patterns(&filter["allowed_headers"]),
        to_application: patterns(&service["authorization_response"]["allowed_upstream_headers"]),
        to_client: patterns(&service["authorization_response"]["allowed_client_headers"]),
    }
});

impl Shipped {
    /// Beside those that are named Envoy asks with `Host`, method, path, length and `Authorization` always.
    fn asks_with(&self, name: &str) -> bool {
        name == "authorization" || fits(&self.allowed, name)
    }
}

fn fits(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern {
        Pattern::Exact(exact) => name == exact,
        Pattern::Prefix(prefix) => name.starts_with(prefix),
    })
}

fn patterns(list: &Yaml) -> Vec<Pattern> {
    let pattern = |item: &Yaml| match (&item["exact"], &item["prefix"]) {
        (Yaml::String(exact), Yaml::BadValue) => Pattern::Exact(exact.clone()),
        (Yaml::BadValue, Yaml::String(prefix)) => Pattern::Prefix(prefix.clone()),
        other => panic!("{other:?}"),
    };
    list["patterns"].as_vec().expect("patterns").iter().map(pattern).collect()
}

fn text(value: &Yaml) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is no text")).to_owned()
}

fn file() -> Yaml {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/proxies/envoy.yaml");
    let documents = YamlLoader::load_from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    <[Yaml; 1]>::try_from(documents).expect("one document")[0].clone()
}

fn manager(file: &Yaml) -> Yaml {
    let filters = &file["static_resources"]["listeners"][0]["filter_chains"][0]["filters"];
    assert_eq!(filters.as_vec().map(Vec::len), Some(1));
    filters[0]["typed_config"].clone()
}

fn http_filters(file: &Yaml) -> Yaml {
    manager(file)["http_filters"].clone()
}

/// What the file must say for the outcomes above to be Envoy's.
#[test]
fn the_shipped_file_asks_about_everything_and_lets_nothing_pass_by_itself() {
    let file = file();
    let (manager, filters) = (manager(&file), http_filters(&file));
    let names: Vec<_> = filters.as_vec().unwrap().iter().map(|filter| text(&filter["name"])).collect();
    assert_eq!(names, ["envoy.filters.http.ext_authz", "envoy.filters.http.router"], "it asks first");
    let filter = &filters[0]["typed_config"];
    assert_eq!(filter["failure_mode_allow"], Yaml::Boolean(false));
    assert_eq!(text(&filter["status_on_error"]["code"]), "ServiceUnavailable");
    assert_eq!(text(&filter["http_service"]["server_uri"]["cluster"]), "jotgate");
    // Nothing else can be asked with: a body, or what makes the question another one.
    let known = ["allowed_headers", "failure_mode_allow", "http_service", "status_on_error", "@type"];
    for key in filter.as_hash().unwrap().keys() {
        assert!(known.contains(&&*text(key)), "{key:?}");
    }
    let shipped = &*SHIPPED;
    assert_eq!((shipped.prefix.as_str(), shipped.timeout_ms), ("/auth/verify/envoy", 2000));
    for name in ["x-forwarded-for", "x-forwarded-proto"] {
        assert!(shipped.asks_with(name), "{name} tells of the client");
    }
    for name in cases::FORWARDING.iter().chain(&["X-Forwarded-Host", "Content-Length", "Transfer-Encoding"]) {
        assert!(!shipped.asks_with(&name.to_lowercase()), "{name} is the client's own");
    }
    for name in IDENTITY {
        assert!(fits(&shipped.to_application, name), "{name}");
    }
    assert!(!fits(&shipped.to_application, "set-cookie") && !fits(&shipped.to_application, "x-auth"));
    for name in ["location", "www-authenticate", "set-cookie"] {
        assert!(fits(&shipped.to_client, name), "{name}");
    }

    // Its own view of the request comes before anybody else's.
    for (key, value) in [
        ("use_remote_address", Yaml::Boolean(true)),
        ("normalize_path", Yaml::Boolean(true)),
        ("merge_slashes", Yaml::Boolean(true)),
        ("path_with_escaped_slashes_action", Yaml::String("REJECT_REQUEST".into())),
    ] {
        assert_eq!(manager[key], value, "{key}");
    }
    let underscores = &manager["common_http_protocol_options"]["headers_with_underscores_action"];
    assert_eq!(text(underscores), "DROP_HEADER");
    let routes = &manager["route_config"];
    let removed: Vec<_> = routes["request_headers_to_remove"].as_vec().unwrap().iter().map(text).collect();
    let written_by_envoy = ["x-forwarded-for", "x-forwarded-proto"];
    for name in cases::FORWARDING.iter().map(|name| name.to_lowercase()).chain(["x-forwarded-host".into()]) {
        assert!(name.contains('_') || removed.contains(&name), "{name} reaches the application");
    }
    assert!(removed.iter().all(|name| !written_by_envoy.contains(&name.as_str())));

    // Whatever leads to the application is asked about.
    for host in routes["virtual_hosts"].as_vec().unwrap() {
        for route in host["routes"].as_vec().unwrap() {
            let off = |of: &Yaml| {
                of["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["disabled"]
                    == Yaml::Boolean(true)
            };
            let cluster = text(&route["route"]["cluster"]);
            assert_eq!(off(host) || off(route), cluster == "jotgate", "{route:?}");
        }
    }
    let app =
        routes["virtual_hosts"].as_vec().unwrap().iter().find(|host| host["name"].as_str() == Some("app"));
    let first = &app.unwrap()["routes"][0];
    let led = (first["match"]["prefix"].as_str(), first["route"]["cluster"].as_str());
    assert_eq!(led, (Some("/_jotgate/"), Some("jotgate")), "the first that fits counts");
}

/// The question as Envoy writes it: its own headers, and of the client's only those that the file allows.
fn asked(world: &World, method: &str, target: &str, host: &str, headers: &[(&str, &str)]) -> Response {
    let shipped = &*SHIPPED;
    let mut text = format!(
        "{method} {}{target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nx-envoy-internal: true\r\n\
         x-envoy-expected-rq-timeout-ms: {}\r\n",
        shipped.prefix, shipped.timeout_ms
    );
    // Envoy writes these anew, and asks with them like with any other: where they are allowed.
    for (name, value) in [("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.9,127.0.0.1")] {
        if shipped.asks_with(name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    let of_client = headers.iter().filter(|(name, _)| !name.to_lowercase().starts_with("x-forwarded-"));
    for (name, value) in of_client.filter(|(name, _)| shipped.asks_with(&name.to_lowercase())) {
        text += &format!("{}: {value}\r\n", name.to_lowercase());
    }
    text += "\r\n";
    let mut wire = world.server.client().connect();
    wire.write(text.as_bytes());
    wire.read(method).expect("an answer")
}

fn app(world: &World, target: &str, headers: &[(&str, &str)]) -> Response {
    asked(world, "GET", target, &format!("app.example.com:{}", world.port), headers)
}

/// `Cookie` of somebody who signed in just now.
fn cookie(world: &World, name: &str) -> String {
    let mut client = world.server.client();
    let login = json!({"username": name, "password": PASSWORD, "delivery": "cookie"});
    client.post("/auth/login").json(&login).send().expect(200);
    format!("__Secure-jwt={}", client.cookie("__Secure-jwt").expect("the access cookie"))
}

fn public(world: &mut World) {
    let answer = app(world, "/public/a?b", &[]);
    assert_eq!(answer.status, 200);
    for name in IDENTITY {
        assert_eq!(answer.header(name), Some(""), "{name}");
    }
    assert_eq!(app(world, "/", &[]).status, 401);
}

fn page(world: &mut World) {
    let answer = app(world, "/wiki?redirect=0&role=x", &[("Accept", HTML)]);
    assert_eq!(answer.status, 302);
    let back = format!("https%3A%2F%2Fapp.example.com%3A{}%2Fwiki%3Fredirect%3D0%26role%3Dx", world.port);
    let login = format!("https://auth.example.com:{}/login?return_to={back}", world.port);
    assert_eq!(answer.header("location"), Some(login.as_str()));
    let cookie = cookie(world, "ada");
    let answer = app(world, "/wiki", &[("Accept", HTML), ("Cookie", &cookie)]);
    assert_eq!((answer.status, answer.header("x-auth-username")), (200, Some("ada")));
}

fn program(world: &mut World) {
    for headers in [
        &[("Accept", "application/json")][..],
        &[("Accept", HTML), ("Sec-Fetch-Mode", "cors")],
        &[("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Accept", HTML)],
    ] {
        assert_eq!(app(world, "/data", headers).status, 401, "{headers:?}");
    }
}

fn role(world: &mut World) {
    let (ada, grace) = (cookie(world, "ada"), cookie(world, "grace"));
    assert_eq!(app(world, "/admin?role=staff", &[("Cookie", &ada)]).status, 403);
    assert_eq!(app(world, "/admin", &[("Cookie", &grace)]).status, 200);
}

fn tossed(world: &mut World) {
    let twice = format!("__Secure-jwt=x; {}", cookie(world, "ada"));
    let answer = app(world, "/wiki/a/b/page?x=/c", &[("Cookie", &twice), ("Accept", HTML)]);
    assert_eq!(answer.status, 400);
    // The file lets `set-cookie` through, each line of it.
    cases::all_cleared(&answer);
}

fn spoofed(world: &mut World) {
    let ada = cookie(world, "ada");
    let host = format!("app.example.com:{}", world.port);
    // Allowed by an operator of their own accord, they still say nothing here.
    for line in [
        "x-forwarded-uri: /public",
        "x-original-url: https://app.example.com/public",
        "x-forwarded-host: evil.test",
    ] {
        let text = format!(
            "GET {}/admin HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nx-forwarded-proto: https\r\n\
             {line}\r\ncookie: {ada}\r\n\r\n",
            SHIPPED.prefix
        );
        assert_eq!(world.server.client().raw(text.as_bytes()).status, 403, "{line}");
    }
    let without =
        format!("GET /auth/verify/envoy/public HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(world.server.client().raw(without.as_bytes()).status, 403, "no scheme");
}

fn paths(world: &mut World) {
    let ada = cookie(world, "ada");
    // As they are where `normalize_path` is off; on, Envoy asks about `/admin` itself.
    for path in PATHS {
        let status = app(world, path, &[("Cookie", &ada)]).status;
        assert!(matches!(status, 400 | 403), "{path}: {status}");
        assert_ne!(app(world, path, &[]).status, 200, "{path}");
    }
}

fn hosts(world: &mut World) {
    let ada = cookie(world, "ada");
    for host in ["APP.EXAMPLE.COM", "app.example.com.", "app.example.com:8443"] {
        assert_eq!(asked(world, "GET", "/x", host, &[("Cookie", &ada)]).status, 200, "{host}");
        assert_eq!(asked(world, "GET", "/admin", host, &[("Cookie", &ada)]).status, 403, "{host}");
    }
    for host in ["evil-app.example.com", "a.app.example.com", "app.example.com.evil.test", "evil.test"] {
        assert_eq!(asked(world, "GET", "/public", host, &[("Cookie", &ada)]).status, 403, "{host}");
    }
}

fn methods(world: &mut World) {
    let host = format!("app.example.com:{}", world.port);
    assert_eq!(asked(world, "GET", "/api/x", &host, &[]).status, 200);
    for method in ["POST", "DELETE", "OPTIONS", "TRACE", "get", "BREW"] {
        let status = asked(world, method, "/api/x", &host, &[]).status;
        assert!(matches!(status, 400 | 403), "{method}: {status}");
    }
}

fn recent(world: &mut World) {
    let ada = cookie(world, "ada");
    assert_eq!(app(world, "/money", &[("Cookie", &ada)]).status, 200);
    std::thread::sleep(std::time::Duration::from_millis(11_500));
    assert_eq!(app(world, "/money", &[("Cookie", &ada)]).status, 401);
    let answer = app(world, "/money", &[("Cookie", &ada), ("Accept", HTML)]);
    assert_eq!(answer.status, 302);
    assert!(answer.header("location").unwrap().ends_with("&max_age=10"));
}

fn logout(world: &mut World) {
    let mut client = world.server.client();
    let login = json!({"username": "ada", "password": PASSWORD});
    let token = client.post("/auth/login").json(&login).send().is(200).json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let bearer = format!("Bearer {token}");
    assert_eq!(app(world, "/x", &[("Authorization", &bearer)]).status, 200);
    client.post("/auth/logout").bearer(&token).send().expect(204);
    assert_eq!(app(world, "/x", &[("Authorization", &bearer)]).status, 401);
}
