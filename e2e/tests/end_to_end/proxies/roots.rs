//! What is between a proxy and Jotgate itself: the paths under `/_jotgate/` on an application's host, where people of
//! another root domain sign in, and the headers that a proxy alone may write.

use super::cases::{FORWARDING, HTML, hidden, passed, raw, refused, shown};
use super::world::{PASSWORD, World};
use super::{left_out, programs};
use e2e::{Client, Response};
use serde_json::Value;

/// An application on another root domain, through every proxy: from its page to the login page and back by a ticket.
#[test]
fn people_sign_in_on_another_root_domain() {
    for program in programs::ALL {
        let world = World::apart();
        let running = match program.start(&world) {
            Ok(running) => running,
            Err(missing) => {
                left_out(&program, &missing);
                continue;
            }
        };
        let (mut app, mut auth) = (world.client("app.example.com"), world.client("auth.example.com"));
        let page = app.get("/private?x=1").header("Accept", HTML).send();
        let start = path_at(&world, "app", &page, 302, program.name);
        assert!(start.starts_with("/_jotgate/start?return_to="), "{}: {start}", program.name);
        let ticket = path_at(&world, "auth", &look(&mut app, &start), 303, program.name);
        let login = path_of(&look(&mut auth, &ticket), 303, program.name);
        let html = String::from_utf8_lossy(&look(&mut auth, &login).is(200).body).into_owned();
        let (token, back_to) = (hidden(&html, "form_token"), hidden(&html, "return_to"));
        let fields =
            [("form_token", &*token), ("return_to", &*back_to), ("username", "ada"), ("password", PASSWORD)];
        let origin = format!("https://auth.example.com:{}", world.port);
        let ticket =
            path_of(&auth.post("/login").header("Origin", &origin).form(&fields).send(), 303, program.name);
        let finish = path_at(&world, "app", &look(&mut auth, &ticket), 303, program.name);
        let back = path_of(&look(&mut app, &finish), 303, program.name);
        assert_eq!(back, "/private?x=1", "{}", program.name);
        let view = passed(&look(&mut app, &back), program.name);
        assert!(view.to_string().contains("ada"), "{}: {view}", program.name);

        // Nobody asks about what is under this path: none of it may reach the application.
        let host = format!("app.example.com:{}", world.port);
        for path in UNASKED {
            let answer =
                raw(&world, format!("GET {path} HTTP/1.1").as_bytes(), &host, "X-Auth-User: root\r\n");
            refused(&answer, &format!("{}: {path}", program.name));
        }
        drop(running);
    }
}

const UNASKED: [&str; 14] = [
    "/_jotgate",
    "/_jotgate/",
    "/_jotgate/x",
    "/_jotgate/../private",
    "/_jotgate/./../private",
    "/_jotgate/%2e%2e/private",
    "/_jotgate/..%2fprivate",
    "/_jotgate/..;/private",
    "/_jotgate//../private",
    "/_jotgate\\..\\private",
    "/_JOTGATE/../private",
    "/_JOTGATE/x",
    "/%5fjotgate/x",
    "//_jotgate/x",
];

fn look(client: &mut Client, path: &str) -> Response {
    client.get(path).header("Accept", HTML).send()
}

#[track_caller]
fn location(answer: &Response, status: u16, who: &str) -> String {
    assert_eq!(answer.status, status, "{who}: {}", shown(answer));
    answer.header("location").expect("a place to go").to_owned()
}

/// Where it leads on its own host.
#[track_caller]
fn path_of(answer: &Response, status: u16, who: &str) -> String {
    let location = location(answer, status, who);
    let path = location
        .split_once("://")
        .map_or(location.as_str(), |(_, rest)| rest.find('/').map_or("/", |slash| &rest[slash..]));
    path.to_owned()
}

/// The same for a place on the host of this name.
#[track_caller]
fn path_at(world: &World, name: &str, answer: &Response, status: u16, who: &str) -> String {
    let location = location(answer, status, who);
    let origin = format!("https://{name}.example.com:{}", world.port);
    location.strip_prefix(&origin).unwrap_or_else(|| panic!("{who}: {location}")).to_owned()
}

/// Whatever a client writes of the request it is in, or of who it is, Jotgate does not get: neither on its own host, nor
/// under `/_jotgate/`.
#[test]
fn nothing_that_a_proxy_alone_may_say_comes_from_a_client() {
    for program in programs::ALL {
        let world = World::mirrored();
        let running = match program.start(&world) {
            Ok(running) => running,
            Err(missing) => {
                left_out(&program, &missing);
                continue;
            }
        };
        for (host, path) in [("auth.example.com", "/login"), ("app.example.com", "/_jotgate/start")] {
            let ask = |headers: &[(&str, &str)]| -> Value {
                let mut client = world.client(host);
                let answer = headers
                    .iter()
                    .fold(client.get(path), |ask, (name, value)| ask.header(name, value))
                    .send();
                passed(&answer, program.name)
            };
            for name in FORWARDING {
                // What Jotgate does not read, it may be shown.
                let unread = [
                    "X-Rewrite-URL",
                    "X-Real-IP",
                    "X-Forwarded-Port",
                    "X-Forwarded-Prefix",
                    "X-Forwarded-Server",
                ];
                if unread.contains(&name) || name.contains('_') {
                    continue;
                }
                let view = ask(&[(name, "canary")]).to_string();
                assert!(!view.contains("canary"), "{}: {host}: {name}: {view}", program.name);
            }
            let view = ask(&[
                ("X-Forwarded-For", "203.0.113.66"),
                ("X-Forwarded-Host", "evil.test"),
                ("X-Forwarded-Proto", "http"),
            ]);
            let of = |name: &str| -> Vec<String> {
                let pairs = view["headers"].as_array().unwrap().iter();
                let named = pairs.filter(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name));
                named.map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
            };
            let authority = format!("{host}:{}", world.port);
            assert_eq!(of("X-Forwarded-For"), ["127.0.0.1"], "{}: {host}", program.name);
            assert_eq!(of("X-Forwarded-Proto"), ["https"], "{}: {host}", program.name);
            assert_eq!(of("X-Forwarded-Host"), [authority.as_str()], "{}: {host}", program.name);
            assert_eq!(of("Host"), [authority.as_str()], "{}: {host}", program.name);
        }
        drop(running);
    }
}
