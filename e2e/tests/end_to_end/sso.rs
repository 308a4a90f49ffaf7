//! Single sign-on in a real browser, with real TLS behind a real proxy: over subdomains, over root domains, and renewed
//! without a question.

use e2e::{Proxy, Server, browser, free_port};

const PASSWORD: &str = "four unrelated words here";
const NAMES: [&str; 5] =
    ["id.example.test", "app.example.test", "shop.example.test", "shop.other.test", "bank.third.test"];

/// The proxy's part: our own host and `/_jotgate/` of the two other root domains lead to the server, the rest to the
/// applications, which verify for themselves.
const SERVERS: &str = r#"
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Proto $scheme;
  server {
    listen 127.0.0.1:PORT ssl;
    server_name id.example.test;
    location / { proxy_pass JOTGATE; }
    # An application on our own host: the proxy asks, and hands the renewed cookie on to the browser.
    location /app/ {
      auth_request /_verify;
      auth_request_set $username $upstream_http_x_auth_username;
      auth_request_set $renewed $upstream_http_set_cookie;
      auth_request_set $login $upstream_http_x_login_location;
      error_page 401 = @login;
      add_header Set-Cookie $renewed;
      proxy_set_header Host $http_host;
      proxy_set_header X-Auth-Username $username;
      proxy_pass APPLICATION;
    }
    location @login {
      if ($login) { return 302 $login; }
      return 401;
    }
    location = /_verify {
      internal;
      proxy_pass JOTGATE/auth/verify?renew=1;
      VERIFY
    }
  }
  server {
    listen 127.0.0.1:PORT ssl;
    server_name app.example.test shop.example.test;
    location / { proxy_pass APPLICATION; }
  }
  server {
    listen 127.0.0.1:PORT ssl;
    server_name shop.other.test bank.third.test;
    location / { proxy_pass APPLICATION; }
    location /_jotgate/ { proxy_pass JOTGATE; }
    # One that does not verify: the proxy asks, and sends pages to where a sign-in begins.
    location /guarded/ {
      auth_request /_verify;
      auth_request_set $username $upstream_http_x_auth_username;
      auth_request_set $login $upstream_http_x_login_location;
      error_page 401 = @login;
      proxy_set_header Host $http_host;
      proxy_set_header X-Auth-Username $username;
      proxy_pass APPLICATION;
    }
    location @login {
      if ($login) { return 302 $login; }
      return 401;
    }
    location = /_verify {
      internal;
      proxy_pass JOTGATE/auth/verify;
      VERIFY
    }
  }
"#;

/// What the proxy says of a request that it asks about.
const VERIFY: &str = "proxy_pass_request_body off;
      proxy_set_header Content-Length \"\";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host \"\";
      proxy_set_header X-Forwarded-Proto \"\";
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Original-URL $scheme://$http_host$request_uri;";

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

fn run(script: &str, environment: &[(&str, &str)]) {
    let Some(mut proxy) = Proxy::reserve(&NAMES) else { return e2e::left_out(script, "no nginx") };
    let port = proxy.port().to_string();
    let application = free_port().to_string();
    let other = ["shop.other.test", "bank.third.test"].map(|host| format!("https://{host}:{port}"));
    let mut options = Server::with()
        .env("JOTGATE_PUBLIC_URL", &format!("https://id.example.test:{port}"))
        .env("JOTGATE_COOKIE_DOMAIN", ".example.test")
        .env("JOTGATE_SSO_ORIGINS", &other.join(","))
        .env("JOTGATE_TRUSTED_PROXIES", "127.0.0.1");
    for (name, value) in environment {
        options = options.env(name, value);
    }
    let server = options.start();
    let added = server.command_with_input(["user", "add", "ada", "--password-stdin"], PASSWORD);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let application_url = format!("http://127.0.0.1:{application}");
    proxy.start(
        &SERVERS
            .replace("VERIFY", VERIFY)
            .replace("JOTGATE", server.url())
            .replace("APPLICATION", &application_url),
    );
    browser::run(
        script,
        &server,
        &[
            ("PROXY_PORT", &port),
            ("APPLICATION_PORT", &application),
            ("CERTIFICATE", proxy.certificate().to_str().unwrap()),
            ("PASSWORD", PASSWORD),
            ("ACCESS_TTL", "3"),
        ],
    );
}
