//! What a browser meets: cross-site rule, CORS, cookies, security headers, pages.

use super::support::{Request, Server};

fn login() -> Request<'static> {
    Request::post("/auth/login").json(r#"{"username":"ada"}"#)
}

#[tokio::test]
async fn a62_a81_other_content_types_are_415() {
    let server = Server::start().await;
    assert_eq!(server.send(login()).await.body, "hello ada");
    for content_type in
        ["text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=x", "text/json"]
    {
        let mut request = Request::post("/auth/login").header("content-type", content_type);
        request.body = br#"{"username":"ada"}"#.into();
        let answer = server.send(request).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (415, "unsupported_media_type"),
            "{content_type}"
        );
    }
    let form = server.send(Request::post("/auth/login").form("username=ada")).await;
    assert_eq!(form.status, 415);
    let mut bare = Request::post("/auth/login");
    bare.body = br#"{"username":"ada"}"#.into();
    assert_eq!(server.send(bare).await.status, 415);
}

#[tokio::test]
async fn a76_a_cross_site_login_sets_no_cookie() {
    let server = Server::start().await;
    for request in [
        login().header("origin", "https://evil.example").header("sec-fetch-site", "cross-site"),
        login().header("origin", "https://evil.example"),
        login().header("origin", "null").header("sec-fetch-site", "cross-site"),
        login().header("sec-fetch-site", "same-site"),
        Request::post("/auth/login").form("username=ada").header("origin", "https://evil.example"),
    ] {
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "csrf"));
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // From our own page, from a trusted application, and from no browser at all.
    let own = format!("http://{}", server.host());
    for request in [
        login().header("origin", &own).header("sec-fetch-site", "same-origin"),
        login().header("origin", &own),
        login().header("origin", "https://app.example.com").header("sec-fetch-site", "cross-site"),
        login(),
    ] {
        let answer = server.send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("set-cookie").unwrap().starts_with("jwt=a.b.c; Path=/; Max-Age=600; HttpOnly"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn a77_a78_a79_a_cookie_alone_changes_nothing() {
    let server = Server::start().await;
    let own = format!("http://{}", server.host());
    let other_port = format!("http://127.0.0.1:{}", server.address.port() - 1);
    let change = || Request::new("DELETE", "/auth/sessions/7").header("cookie", "jwt=a; jwt_session=b");
    for (origin, site) in [
        (None, None),
        (Some("null"), None),
        (Some("https://app.example.com.evil"), None),
        (Some("http://app.example.com"), None),
        (Some("https://sub.app.example.com"), None),
        (Some("https://evil-app.example.com"), None),
        (Some(other_port.as_str()), None),
        (None, Some("same-site")),
        (None, Some("cross-site")),
        (Some("https://app.example.com"), Some("same-origin")),
        (Some("https://evil.example"), Some("same-origin")),
    ] {
        let mut request = change();
        request.headers.extend(origin.map(|o| ("origin", o.to_owned())));
        request.headers.extend(site.map(|s| ("sec-fetch-site", s.to_owned())));
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "csrf"), "{origin:?} {site:?}");
    }
    for request in [
        change().header("sec-fetch-site", "same-origin"),
        change().header("sec-fetch-site", "same-origin").header("origin", "null"),
        change().header("origin", &own),
        change().header("origin", own.replace("127.0.0.1", "localhost")),
        change().header("origin", own.replace("127.0.0.1", "[::1]")).header("sec-fetch-site", "cross-site"),
        change().header("origin", "https://app.example.com").header("sec-fetch-site", "same-site"),
        Request::new("DELETE", "/auth/sessions/7").header("authorization", "Bearer a"),
    ] {
        assert_eq!(server.send(request).await.status, 204);
    }
    // Any cookie of ours, a helper too.
    let helper = Request::post("/auth/logout").header("cookie", "x=y; jwt_device=b");
    assert_eq!(server.send(helper).await.status, 403);
    let foreign = Request::post("/auth/logout").header("cookie", "x=y");
    assert_eq!(server.send(foreign).await.status, 204);
    // Asked by a proxy about another request, which has an origin of its own.
    let asked = Request::post("/auth/verify")
        .header("cookie", "jwt=a")
        .header("origin", "https://shop.example")
        .header("sec-fetch-site", "same-origin");
    assert_eq!(server.send(asked).await.body, "cookie Some(\"a\") None");
    // And a body of its own, of which proxies send the length and nothing else.
    let asked = Request::post("/auth/verify")
        .header("authorization", "Bearer a")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", "100");
    assert_eq!(server.send(asked).await.body, "bearer a");
}

#[tokio::test]
async fn a78_without_headers_a_form_is_good_with_its_token_only() {
    let server = Server::start().await;
    let page = server.send(Request::get("/login")).await;
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let token = page.body.clone();
    assert!(cookie.starts_with("jwt_form="), "{page:?}");
    let post = |form: &str| Request::post("/login").form(form).header("cookie", &cookie);
    let good = format!("username=a%26b&form_token={token}");
    let answer = server.send(post(&good)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "form a&b"), "the form is put back whole");
    assert_eq!(server.send(post(&good).header("origin", "null")).await.status, 200);
    let other = if token.starts_with('x') { 'y' } else { 'x' };
    let wrong = format!("username=ada&form_token={other}{}", &token[1..]);
    for (case, request) in [
        ("none", post("username=ada")),
        ("wrong", post(&wrong)),
        ("of no cookie", Request::post("/account").form(&good).header("cookie", "jwt=a")),
        (
            "of another cookie",
            Request::post("/login").form(&good).header("cookie", "jwt_form=AAAAAAAAAAAAAAAAAAAAAA"),
        ),
        ("from elsewhere", post(&good).header("origin", "https://evil.example")),
        ("from a sibling", post(&good).header("sec-fetch-site", "same-site")),
        ("too large", post(&format!("form_token={token}&x={}", "x".repeat(20_000)))),
    ] {
        let answer = server.send(request).await;
        let expected = if case == "too large" { 413 } else { 403 };
        assert_eq!(answer.status, expected, "{case}: {answer:?}");
        assert!(answer.body.starts_with("<h1>"), "a page says so: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    }
    // Nothing to protect yet, and no browser.
    assert_eq!(server.send(Request::post("/login").form("username=ada")).await.status, 200);
}

#[tokio::test]
async fn a80_only_trusted_origins_read_and_never_a_wildcard_with_credentials() {
    let server = Server::start().await;
    let from = |origin: &'static str, target| Request::get(target).header("origin", origin);
    let trusted = server.send(from("https://app.example.com", "/auth/me")).await;
    assert_eq!(trusted.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(trusted.header("access-control-allow-credentials"), Some("true"));
    assert!(trusted.all("vary").join(", ").contains("Origin"));
    // Refusals are readable too.
    let refused = server.send(from("https://app.example.com", "/auth/nothing")).await;
    assert_eq!((refused.status, refused.header("access-control-allow-credentials")), (404, Some("true")));
    for origin in [
        "null",
        "https://evil-example.com",
        "https://evil-app.example.com",
        "https://app.example.com.evil",
        "https://app.example.com:444",
        "http://app.example.com",
        "https://APP.example.com",
        "https://app.example.com, https://evil.example",
        "*",
    ] {
        let answer = server.send(from(origin, "/auth/me")).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{origin}");
        assert!(answer.all("vary").join(", ").contains("Origin"));
    }
    for origin in ["null", "https://evil.example", "https://app.example.com"] {
        let list = server.send(from(origin, "/auth/status/0")).await;
        assert_eq!(list.header("access-control-allow-origin"), Some("*"));
        assert_eq!(list.header("access-control-allow-credentials"), None);
        assert_eq!(list.header("cache-control"), Some("public, max-age=15"));
        let page = server.send(from(origin, "/login")).await;
        assert_eq!(page.header("access-control-allow-origin"), None, "a page is nobody's to read");
    }
}

#[tokio::test]
async fn a80_a163_preflights() {
    let server = Server::start().await;
    let ask = |origin, target| {
        Request::new("OPTIONS", target)
            .header("origin", origin)
            .header("access-control-request-method", "DELETE")
            .header("access-control-request-headers", "authorization, content-type")
    };
    let trusted = server.send(ask("https://app.example.com", "/auth/sessions/7")).await;
    assert_eq!(trusted.status, 204);
    assert_eq!(trusted.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(trusted.header("access-control-allow-methods").unwrap().contains("DELETE"));
    assert_eq!(trusted.header("access-control-allow-headers"), Some("Authorization, Content-Type"));
    assert!(trusted.header("x-request-id").is_some());
    for target in ["/auth/login", "/login"] {
        let stranger = server.send(ask("https://evil.example", target)).await;
        assert_eq!(stranger.status, 405, "{target}");
        assert_eq!(stranger.header("access-control-allow-origin"), None);
        assert_eq!(stranger.header("access-control-allow-methods"), None);
    }
    let list = server.send(ask("https://evil.example", "/auth/status/0")).await;
    assert_eq!((list.status, list.header("access-control-allow-origin")), (204, Some("*")));
    // Of forward-auth, an OPTIONS asks about somebody else's OPTIONS.
    let verify = server.send(ask("https://app.example.com", "/auth/verify")).await;
    assert_eq!((verify.status, verify.body.as_str()), (200, "nobody"));
}

#[tokio::test]
async fn a82_a88_the_method_is_the_method() {
    let server = Server::start().await;
    for request in [
        Request::get("/auth/logout"),
        Request::get("/auth/logout?_method=POST").header("x-http-method-override", "POST"),
        Request::get("/auth/login").header("x-original-method", "POST"),
    ] {
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"));
        assert_eq!(answer.header("allow"), Some("POST"));
    }
}

#[tokio::test]
async fn a85_with_too_many_cookies_there_is_an_answer_and_a_way_out() {
    let server = Server::start().await;
    let own = format!("http://{}", server.host());
    let many: Vec<_> = (0..180).map(|n| format!("c{n}={}", "x".repeat(220))).collect();
    let many = many.join("; ");
    assert!(many.len() > 40_000);
    let api = server.send(Request::get("/auth/me").header("cookie", &many)).await;
    assert_eq!((api.status, api.code().as_str()), (431, "headers_too_large"));
    let page = server.send(Request::get("/login").header("cookie", &many)).await;
    assert_eq!((page.status, page.body.starts_with("<h1>431 ")), (431, true));

    let ask = server.send(Request::get("/clear-cookies").header("cookie", &many)).await;
    assert_eq!(ask.status, 200);
    assert_eq!(ask.all("set-cookie").len(), 0, "asking clears nothing");
    let clear = || Request::post("/clear-cookies").header("cookie", &many);
    let cleared = server.send(clear().header("origin", &own)).await;
    assert_eq!((cleared.status, cleared.header("location")), (303, Some("/login")));
    for n in 0..180 {
        let start = format!("c{n}=; Path=/; Max-Age=0");
        assert!(cleared.all("set-cookie").iter().any(|c| c.starts_with(&start)), "{start}");
    }
    for foreign in [clear().header("origin", "https://evil.example"), clear()] {
        assert_eq!(server.send(foreign).await.status, 403, "not for anybody else to do");
    }
    let beyond = "x".repeat(200_000);
    let too_much = server.send(Request::get("/clear-cookies").header("cookie", beyond)).await;
    assert_eq!(too_much.status, 431);
}

#[tokio::test]
async fn two_cookies_of_one_name_are_refused_and_cleared() {
    let server = Server::start().await;
    let answer = server.send(Request::get("/auth/me").header("cookie", "jwt=a; jwt=b")).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "ambiguous_credentials"));
    let cleared = answer.all("set-cookie");
    assert!(cleared.iter().all(|c| c.starts_with("jwt=; ") && c.contains("Max-Age=0")), "{cleared:?}");
    for path in ["Path=/;", "Path=/auth;", "Path=/auth/me;"] {
        assert!(cleared.iter().any(|c| c.contains(path)), "{path} in {cleared:?}");
    }
}

#[tokio::test]
async fn a47_a_header_and_a_form_with_a_token_are_ambiguous() {
    let server = Server::start().await;
    let both = |form| Request::post("/auth/me").form(form).header("authorization", "Bearer a");
    assert_eq!(server.send(both("x=1&access%5ftoken=b")).await.code(), "ambiguous_credentials");
    assert_eq!(server.send(both("x=1")).await.body, "bearer a");
    assert_eq!(server.send(Request::post("/auth/me").form("access_token=b")).await.body, "nobody");
    let two =
        Request::get("/auth/me").header("authorization", "Bearer a").header("authorization", "Bearer a");
    assert_eq!(server.send(two).await.code(), "ambiguous_credentials");
}

#[tokio::test]
async fn a89_a90_headers_of_every_answer() {
    let server = Server::start().await;
    for (request, status) in [
        (Request::get("/auth/me"), 200),
        (Request::get("/auth/nothing"), 404),
        (Request::get("/nothing"), 404),
        (Request::get("/login"), 200),
        (Request::new("BREW", "/auth/login"), 405),
        (Request::get("/auth/panic").header("authorization", "x"), 500),
    ] {
        let target = request.target;
        let answer = server.send(request).await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{target}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{target}");
        assert!(
            answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"),
            "{target}"
        );
        assert_eq!(answer.header("x-request-id").unwrap().len(), 32, "{target}");
        assert_eq!(answer.header("strict-transport-security"), None, "not on http");
        assert_eq!(answer.all("set-cookie").iter().filter(|c| c.starts_with("jwt=")).count(), 0);
    }
    let verify = server.send(Request::get("/auth/verify")).await;
    let vary = verify.all("vary").join(", ");
    assert!(vary.contains("Cookie") && vary.contains("Authorization"), "{vary}");
}

#[tokio::test]
async fn a149_pages_go_by_one_name_and_only_while_it_is_loopback() {
    let server = Server::start().await;
    let port = server.address.port();
    let at = |host: String, target| Request::get(target).header("host", host);
    let local = server.send(at(format!("localhost:{port}"), "/login?return_to=%2Faccount")).await;
    assert_eq!(local.status, 307);
    let expected = format!("http://127.0.0.1:{port}/login?return_to=%2Faccount");
    assert_eq!(local.header("location"), Some(expected.as_str()));
    assert_eq!(server.send(at(format!("[::1]:{port}"), "/login")).await.status, 307);
    for host in [
        format!("127.0.0.1:{port}"),
        "localhost:1".into(),
        "localhost".into(),
        format!("evil.example:{port}"),
    ] {
        let answer = server.send(at(host.clone(), "/login")).await;
        assert_eq!((answer.status, answer.header("location")), (200, None), "{host}");
    }
    let api = server.send(at(format!("localhost:{port}"), "/auth/me")).await;
    assert_eq!(api.status, 200, "programs are not redirected");
    let forwarded = at(format!("127.0.0.1:{port}"), "/login").header("x-forwarded-host", "localhost");
    assert_eq!(server.send(forwarded).await.status, 200);
}

#[tokio::test]
async fn a64_a65_a204_who_asks_is_who_connects_unless_a_proxy_says_so() {
    let server = Server::start().await;
    let ask = || {
        Request::get("/auth/visitor")
            .header("x-forwarded-for", "192.0.2.7, ::ffff:192.0.2.8")
            .header("x-request-id", "from-the-proxy")
            .header("user-agent", format!("Mozilla\t{}", "x".repeat(1000)))
    };
    let direct = server.send(ask()).await;
    assert!(direct.body.starts_with("127.0.0.1|127.0.0.1|Mozillaxxx"), "{direct:?}");
    assert!(direct.body.len() < 300);
    assert_ne!(direct.header("x-request-id"), Some("from-the-proxy"));

    let server = Server::with(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let proxied = server.send(ask()).await;
    assert!(proxied.body.starts_with("192.0.2.8|192.0.2.8|"), "{proxied:?}");
    assert_eq!(proxied.header("x-request-id"), Some("from-the-proxy"));
    let dirty = Request::get("/auth/visitor").header("x-request-id", "${jndi:ldap://x}");
    assert_ne!(server.send(dirty).await.header("x-request-id"), Some("${jndi:ldap://x}"));
}

#[tokio::test]
async fn a210_a_panic_is_a_500_without_its_words_and_the_server_goes_on() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        use tokio::io::AsyncWriteExt;
        let request = Request::get("/auth/panic").header("authorization", "Bearer canary");
        stream.write_all(&request.bytes(&server.host())).await.unwrap();
        let answer = super::support::read_answer(&mut stream).await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (500, "internal"));
        assert!(!format!("{answer:?}").contains("canary"));
    }
    assert_eq!(server.send(Request::get("/auth/me")).await.status, 200);
}
