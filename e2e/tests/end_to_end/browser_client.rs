//! `/jotgate.js` in a real browser.

use std::net::TcpListener;

use e2e::{Options, Server, browser};

const PASSWORD: &str = "four unrelated words here";

/// A port that is free now, for the application.
fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// A server behind the origin of an application, as a reverse proxy puts it there.
fn behind(origin: &str) -> Options {
    Server::with().env("JOTGATE_PUBLIC_URL", origin)
}

fn add_users(server: &Server) {
    for name in ["ada", "bob"] {
        let added = server.command_with_input(["user", "add", name, "--password-stdin"], PASSWORD);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
}

fn run(script: &str, server: &Server, environment: &[(&str, &str)]) {
    add_users(server);
    browser::run(script, server, &[&[("PASSWORD", PASSWORD)], environment].concat());
}

#[test]
fn many_tabs_refresh_once_and_nobody_is_signed_out() {
    let port = free_port();
    let server = behind(&format!("http://127.0.0.1:{port}")).start();
    run("tabs.mjs", &server, &[("APP_PORT", &port)]);
}

#[test]
fn a_lost_network_a_closed_tab_or_a_server_that_is_away_signs_nobody_out() {
    let port = free_port();
    let server = behind(&format!("http://127.0.0.1:{port}")).start();
    run("faults.mjs", &server, &[("APP_PORT", &port)]);
}

#[test]
fn pages_stay_open_over_many_lives_of_a_token() {
    let port = free_port();
    let server = behind(&format!("http://127.0.0.1:{port}")).env("JOTGATE_TOKEN_ACCESS_TTL", "8s").start();
    run("expiries.mjs", &server, &[("APP_PORT", &port), ("TTL_SECONDS", "8")]);
}

#[test]
fn a80_trusted_origins_use_it_and_strangers_cannot() {
    let (app, stranger) = (free_port(), free_port());
    let trusted = format!("http://127.0.0.1:{app}");
    let server = Server::with().env("JOTGATE_COOKIE_TRUSTED_ORIGINS", &trusted).start();
    run("origins.mjs", &server, &[("APP_PORT", &app), ("STRANGER_PORT", &stranger)]);
}

#[test]
fn without_web_locks_nobody_is_signed_out_either() {
    let port = free_port();
    let server =
        behind(&format!("http://app.example.test:{port}")).env("JOTGATE_ALLOW_INSECURE_HTTP", "true").start();
    run("insecure.mjs", &server, &[("APP_PORT", &port)]);
}

#[test]
fn its_types_hold_for_all_that_it_offers() {
    browser::run_alone("types.mjs", &[]);
}

#[test]
fn the_document_shows_the_example_that_ran() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let document = std::fs::read_to_string(format!("{root}/docs/browser.md")).unwrap();
    for (file, language) in [("app.js", "js"), ("index.html", "html")] {
        let text = std::fs::read_to_string(format!("{root}/examples/browser/{file}")).unwrap();
        assert!(
            document.contains(&format!("```{language}\n{text}```\n")),
            "{file} is not as docs/browser.md shows it"
        );
    }
}
