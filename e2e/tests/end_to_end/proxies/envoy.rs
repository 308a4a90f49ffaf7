//! Envoy is no package here. Its question is documented and small, and is sent as it sends it: `ext_authz` over HTTP
//! with `path_prefix` repeats method, path and `Host` of the original request, without its body, and with the headers
//! that `examples/proxies/envoy.yaml` allows.

use super::cases::{self, HTML, PATHS};
use super::world::{PASSWORD, World};
use super::{Outcome, tried};
use e2e::Response;
use serde_json::json;

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

/// The question as Envoy writes it: its own headers, and of the client's only those that the file allows.
fn asked(world: &World, method: &str, target: &str, host: &str, headers: &[(&str, &str)]) -> Response {
    const ALLOWED: [&str; 12] = [
        "accept",
        "authorization",
        "cookie",
        "origin",
        "sec-websocket-key",
        "upgrade",
        "user-agent",
        "x-requested-with",
        "sec-fetch-mode",
        "sec-fetch-dest",
        "sec-fetch-site",
        "sec-fetch-user",
    ];
    let mut text = format!(
        "{method} /auth/verify/envoy{target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nx-forwarded-proto: https\r\n\
         x-forwarded-for: 203.0.113.9,127.0.0.1\r\nx-envoy-internal: true\r\nx-envoy-expected-rq-timeout-ms: 2000\r\n"
    );
    for (name, value) in headers.iter().filter(|(name, _)| ALLOWED.contains(&name.to_lowercase().as_str())) {
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
            "GET /auth/verify/envoy/admin HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nx-forwarded-proto: https\r\n\
             {line}\r\ncookie: {ada}\r\n\r\n"
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
