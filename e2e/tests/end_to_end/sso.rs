//! Single sign-on in a real browser, with real TLS behind a real proxy: over subdomains, over root domains, and renewed
//! without a question. Numbers are those of the catalogue of attacks.

use std::time::{Duration, Instant};

use e2e::{Proxy, Server, browser, free_port};

const PASSWORD: &str = "four unrelated words here";
const NAMES: [&str; 8] = [
    "id.example.test",
    "app.example.test",
    "shop.example.test",
    "shop.other.test",
    "bank.third.test",
    // Strangers, whose names are like ours.
    "evilapp.example.test",
    "id.example.test.evil.test",
    "app.example.test.evil.test",
];

/// The proxy's part: our own host and `/_jotgate/` of the two other root domains lead to the server, the rest to the
/// applications, which verify for themselves, but for those that are guarded.
const SERVERS: &str = r#"
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Proto $scheme;
  server {
    listen 127.0.0.1:PORT ssl;
    server_name id.example.test;
    # Applications on our own host, one of them in a nested path.
    location ~ ^/(app|a/b)/ { GUARDED }
    location / { proxy_pass JOTGATE; }
    ASKING
  }
  server {
    listen 127.0.0.1:PORT ssl;
    server_name app.example.test shop.example.test;
    location /guarded/ { GUARDED }
    location / { proxy_pass APPLICATION; }
    ASKING
  }
  server {
    listen 127.0.0.1:PORT ssl;
    server_name shop.other.test bank.third.test;
    location /guarded/ { GUARDED }
    location / { proxy_pass APPLICATION; }
    location /_jotgate/ { proxy_pass JOTGATE; }
    ASKING
  }
  server {
    listen 127.0.0.1:PORT ssl;
    server_name evilapp.example.test id.example.test.evil.test app.example.test.evil.test;
    location / { proxy_pass APPLICATION; }
  }
"#;

/// An application that does not verify: the proxy asks, and sends pages to where a sign-in begins.
const GUARDED: &str = "
      auth_request /_verify;
      proxy_set_header Host $http_host;
      proxy_set_header X-Auth-Username $username;
      proxy_pass APPLICATION;";

/// How the proxy asks, and hands on a renewed cookie and the cleared ones of a refusal.
const ASKING: &str = r#"
    auth_request_set $username $upstream_http_x_auth_username;
    auth_request_set $renewed $upstream_http_set_cookie;
    auth_request_set $login $upstream_http_x_login_location;
    auth_request_set $asked $upstream_status;
    add_header Set-Cookie $renewed always;
    error_page 401 = @login;
    location @login {
      if ($login) { return 302 $login; }
      return 401;
    }
    error_page 500 = @refused;
    location @refused {
      if ($asked != 400) { return 500; }
      rewrite ^ /_verify? last;
    }
    location = /_verify {
      internal;
      proxy_pass JOTGATE/auth/verify?renew=1;
      proxy_method GET;
      proxy_pass_request_body off;
      proxy_buffer_size 12k;
      add_header Set-Cookie "";
      proxy_set_header Content-Length "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host "";
      proxy_set_header X-Forwarded-Proto "";
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
    }"#;

#[test]
fn a75_a79_a85_a91_one_sign_in_for_all_subdomains_and_nothing_more() {
    run("sso-subdomains.mjs", &[]);
}

#[test]
fn a71_a146_a152_one_sign_in_for_several_root_domains_by_a_ticket() {
    run("sso-roots.mjs", &[]);
}

#[test]
fn a_page_open_all_day_is_never_signed_out_and_loses_nothing() {
    run("renewal.mjs", &[("JOTGATE_TOKEN_ACCESS_TTL", "3s")]);
}

#[test]
fn an_application_in_a_nested_path_is_renewed_like_any_other() {
    run("renewal-nested.mjs", &[("JOTGATE_TOKEN_ACCESS_TTL", "3s")]);
}

/// A sibling can set a cookie of our name for a path of another application: with two of them nobody is let in, and the
/// refusal, which the proxy hands on, clears the stranger's.
#[test]
fn a_cookie_that_a_sibling_sets_for_a_deep_path_keeps_nobody_out() {
    run("sso-tossed.mjs", &[]);
}

#[test]
fn a77_no_other_origin_changes_anything_with_the_browsers_cookies() {
    run("sso-a77.mjs", &[("JOTGATE_OPS_LISTEN", "main")]);
}

#[test]
fn a80_no_other_origin_reads_anything_with_the_browsers_cookies() {
    run("sso-a80.mjs", &[("JOTGATE_COOKIE_TRUSTED_ORIGINS", "https://app.example.test:PORT")]);
}

/// The server does not start, and says which key it is and why.
#[test]
fn a87_a_cookie_domain_of_strangers_is_refused_at_the_start() {
    let server = Server::start();
    for (public_url, domain, why) in [
        ("https://id.example.co.uk", "co.uk", "public suffix"),
        ("https://me.github.io", "github.io", "public suffix"),
        ("https://id.example.com", ".com", "public suffix"),
        ("http://localhost:8080", "localhost", "cookie.domain"),
        ("https://id.example.com", "other.com", "cookie.domain"),
        ("https://id.example.com", "ample.com", "cookie.domain"),
        ("https://id.example.com", "a.id.example.com", "cookie.domain"),
        ("https://id.example.com", "id.example.com.evil.test", "cookie.domain"),
        ("https://192.0.2.1", "2.1", "cookie.domain"),
    ] {
        let flags = ["--public-url", public_url, "--cookie-domain", domain, "--listen", "127.0.0.1:0"];
        let ended = server.command([&["serve"][..], &flags].concat());
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && ended.stdout.is_empty(), "{public_url} {domain}: {said}");
        assert!(said.contains("cookie.domain") && said.contains(why), "{public_url} {domain}: {said}");
    }
}

#[test]
fn a92_whoever_signs_in_as_somebody_else_is_nobody_else_any_more() {
    run("sso-a92.mjs", &[]);
}

/// Part C of the catalogue: the cookies of a domain that is not the configured one any more go as the browser comes by.
#[test]
fn cookies_of_every_domain_before_are_cleared() {
    let script = "sso-stale.mjs";
    let Some(mut world) = World::start(script, &[]) else { return };
    let state = world.server.folder().join("browser.json").to_str().unwrap().to_owned();
    let domains = [".example.test", ".id.example.test", "", ".example.test", ""];
    for (round, domain) in domains.iter().enumerate() {
        if round > 0 {
            assert!(world.server.terminate().success());
            world.server.set_env("JOTGATE_COOKIE_DOMAIN", domain);
            world.server.start_again();
        }
        world.run(script, &[("STATE", &state), ("ROUND", &round.to_string()), ("DOMAIN", domain)]);
    }
}

/// It would be a surprise for whoever shares the host, so it has to be asked for; whoever forgot is told.
#[test]
fn renewal_that_is_not_switched_on_is_told_once() {
    let server = Server::with().env("JOTGATE_TRUSTED_PROXIES", "127.0.0.1").start();
    for path in ["/auth/verify", "/auth/verify?renew=1", "/auth/verify?renew=1"] {
        server.client().get(path).send().expect(401);
    }
    let lines = |what: &str| server.log().iter().filter(|line| line.contains(what)).count();
    // Nobody waits for the log.
    let begun = Instant::now();
    while lines(r#""route":"/auth/verify""#) < 3 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(lines("verify.renew is not set"), 1, "{:#?}", server.log());
}

fn run(script: &str, environment: &[(&str, &str)]) {
    if let Some(world) = World::start(script, environment) {
        world.run(script, &[]);
    }
}

/// A server, the proxy before it, and a port for the applications, which the script runs.
struct World {
    server: Server,
    proxy: Proxy,
    application: String,
}

impl World {
    /// `PORT` in the environment is the proxy's. None where there is no proxy.
    fn start(script: &str, environment: &[(&str, &str)]) -> Option<Self> {
        let Some(mut proxy) = Proxy::reserve(&NAMES) else {
            e2e::left_out(script, "no nginx");
            return None;
        };
        let port = proxy.port().to_string();
        let application = free_port().to_string();
        let other = ["shop.other.test", "bank.third.test"].map(|host| format!("https://{host}:{port}"));
        let mut options = Server::with()
            .env("JOTGATE_PUBLIC_URL", &format!("https://id.example.test:{port}"))
            .env("JOTGATE_COOKIE_DOMAIN", ".example.test")
            .env("JOTGATE_SSO_ORIGINS", &other.join(","))
            .env("JOTGATE_TRUSTED_PROXIES", "127.0.0.1")
            .env("JOTGATE_VERIFY_RENEW", "true");
        for (name, value) in environment {
            options = options.env(name, &value.replace("PORT", &port));
        }
        let server = options.start();
        for name in ["ada", "bob"] {
            let added = server.command_with_input(["user", "add", name, "--password-stdin"], PASSWORD);
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        let servers = SERVERS.replace("GUARDED", GUARDED).replace("ASKING", ASKING);
        let application_url = format!("http://127.0.0.1:{application}");
        proxy.start(&servers.replace("JOTGATE", server.url()).replace("APPLICATION", &application_url));
        Some(Self { server, proxy, application })
    }

    fn run(&self, script: &str, more: &[(&str, &str)]) {
        let port = self.proxy.port().to_string();
        let certificate = self.proxy.certificate();
        let environment = [
            ("PROXY_PORT", &*port),
            ("APPLICATION_PORT", &self.application),
            ("CERTIFICATE", certificate.to_str().unwrap()),
            ("PASSWORD", PASSWORD),
            ("ACCESS_TTL", "3"),
        ];
        browser::run(script, &self.server, &[&environment, more].concat());
    }
}
