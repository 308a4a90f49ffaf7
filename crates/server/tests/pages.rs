//! The hosted pages through the whole application, as a browser with a jar of cookies sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use http::Method;
use jotgate::config::Origin;
use support::{Answer, Ask, Jar, PASSWORD, Site, https_origin};

const MINUTE: Duration = Duration::from_secs(60);

/// A browser without Fetch Metadata: its forms are believed for their token alone.
struct Browser<'s> {
    site: &'s Site,
    jar: Jar,
    agent: String,
}

impl<'s> Browser<'s> {
    fn new(site: &'s Site) -> Self {
        Self { site, jar: Jar::new(), agent: "Mozilla/5.0 (X11; Linux) Firefox/142.0".into() }
    }

    /// One that has registered and is signed in.
    async fn registered(site: &'s Site, username: &str) -> Self {
        let mut browser = Self::new(site);
        let answer = browser.enter("/register", username).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        browser
    }

    async fn get(&mut self, path: &str) -> Answer {
        let ask = self.site.get(path);
        self.send(ask).await
    }

    /// Opens the page at `at` for its token and posts to `path`.
    async fn post(&mut self, at: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.get(at).await.form_token();
        let fields = [fields, &[("form_token", token.as_str())]].concat();
        self.post_fields(path, &fields).await
    }

    async fn post_fields(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let ask = self.site.ask(Method::POST, path).form(fields);
        self.send(ask).await
    }

    /// Registers or signs in.
    async fn enter(&mut self, path: &str, username: &str) -> Answer {
        // Whoever is signed in is shown neither form.
        let at = if self.is_signed_in().await { "/account" } else { path };
        self.post(at, path, &[("username", username), ("password", PASSWORD)]).await
    }

    async fn send(&mut self, ask: Ask<'_>) -> Answer {
        let answer = ask.header("user-agent", &self.agent).cookies(&self.jar).send().await;
        answer.keep(&mut self.jar);
        answer
    }

    async fn is_signed_in(&mut self) -> bool {
        self.get("/account").await.status == 200
    }
}

fn location(answer: &Answer) -> &str {
    answer.location()
}

fn devices(page: &Answer) -> usize {
    page.text().matches("<li>").count()
}

#[tokio::test]
async fn an_account_from_registration_to_logout() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    assert_eq!(location(&browser.get("/").await), "/login");
    assert_eq!(location(&browser.get("/account").await), "/login");
    let entered = browser.enter("/register", "Ada").await;
    assert_eq!(location(&entered), "/account?done=registered");
    assert_eq!(location(&browser.get("/").await), "/account");
    assert_eq!(location(&browser.get("/login").await), "/account");
    assert_eq!(location(&browser.get("/register").await), "/account");
    assert_eq!(location(&browser.get("/.well-known/change-password").await), "/account#password");
    let page = browser.get("/account").await;
    assert!(page.text().contains("<h1>Ada</h1>") && page.text().contains("Firefox on Linux"));

    let asked = browser.get("/logout").await;
    assert!(asked.text().contains("Sign out?"));
    let out = browser.post("/logout", "/logout", &[]).await;
    assert_eq!(location(&out), "/logout");
    assert!(browser.get("/logout").await.text().contains("You are signed out"));
    assert!(!browser.is_signed_in().await);
    assert!(!browser.jar.contains_key("jwt") && !browser.jar.contains_key("jwt_session"));
}

#[tokio::test]
async fn devices_are_signed_out_one_by_one_or_together() {
    let site = Site::new().await;
    let mut here = Browser::registered(&site, "ada").await;
    let mut phone =
        Browser { agent: "Mozilla/5.0 (iPhone) Version/19.0 Safari/604.1".into(), ..Browser::new(&site) };
    let mut tablet = Browser { agent: "Mozilla/5.0 (iPad) CriOS/156".into(), ..Browser::new(&site) };
    for device in [&mut phone, &mut tablet] {
        site.clock.pass(MINUTE);
        assert_eq!(location(&device.enter("/login", "ada").await), "/account");
    }
    let page = here.get("/account").await;
    assert_eq!(devices(&page), 3);
    let text = page.text();
    let order = ["this device", "Chrome on iPad", "Safari on iPhone"].map(|name| text.find(name).unwrap());
    assert!(order.is_sorted(), "this one first, then by last use");
    assert!(text.contains(">1 minute ago<") && text.contains(">just now<"));

    let (_, row) = text.split_once("Safari on iPhone").unwrap();
    let id = row.split("name=\"session\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let ended = here.post("/account", "/account/sessions", &[("session", id)]).await;
    assert_eq!(location(&ended), "/account?done=session-ended");
    assert!(!phone.is_signed_in().await && tablet.is_signed_in().await);
    // What is over is over: asked again, it is the same.
    let again = here.post("/account", "/account/sessions", &[("session", id)]).await;
    assert_eq!(location(&again), "/account?done=session-ended");

    phone.enter("/login", "ada").await;
    let ended = here.post("/account", "/account/sessions", &[("session", "others")]).await;
    assert_eq!(location(&ended), "/account?done=others-ended");
    assert!(!phone.is_signed_in().await && !tablet.is_signed_in().await && here.is_signed_in().await);

    // Somebody else's device is nobody's business, and nobody is told whether it is one.
    let mut bob = Browser::registered(&site, "bob").await;
    let page = here.get("/account").await.text();
    assert!(!page.contains("name=\"session\" value=\"0"), "the own one has no button");
    let mut phone = Browser::new(&site);
    phone.enter("/login", "ada").await;
    let page = here.get("/account").await.text();
    let id = page.split("name=\"session\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    bob.post("/account", "/account/sessions", &[("session", id)]).await;
    assert!(phone.is_signed_in().await);
    let bad = bob.post("/account", "/account/sessions", &[("session", "x")]).await;
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_keeps_this_one() {
    let site = Site::new().await;
    let mut here = Browser::registered(&site, "ada").await;
    let mut phone = Browser::new(&site);
    phone.enter("/login", "ada").await;
    let before = here.jar.clone();

    let path = "/account/password";
    let wrong = here
        .post("/account", path, &[("current_password", "wrong"), ("new_password", "quite another one")])
        .await;
    assert_eq!(wrong.status, 401);
    assert!(
        wrong.text().contains("id=\"current_password-error\"") && !wrong.text().contains("quite another one")
    );
    let weak =
        here.post("/account", path, &[("current_password", PASSWORD), ("new_password", "short")]).await;
    assert_eq!(weak.status, 422);
    assert!(weak.text().contains("Use at least 8 characters.") && !weak.text().contains(PASSWORD));

    let fields = [("current_password", PASSWORD), ("new_password", "quite another one")];
    let changed = here.post("/account", path, &fields).await;
    assert_eq!(location(&changed), "/account?done=password-changed");
    assert!(here.is_signed_in().await && !phone.is_signed_in().await);
    let mut stolen = Browser { jar: before, ..Browser::new(&site) };
    assert!(!stolen.is_signed_in().await, "all earlier tokens of this session are dead");
    assert_eq!(phone.enter("/login", "ada").await.status, 401);
}

#[tokio::test]
async fn a_page_renews_the_access_cookie_when_it_is_due_and_only_then() {
    let site = Site::new().await;
    let mut browser = Browser::registered(&site, "ada").await;
    for _ in 0..3 {
        assert!(browser.get("/account").await.cookies().is_empty());
    }
    site.clock.pass(10 * MINUTE);
    let old = browser.jar.clone();
    let page = browser.get("/account").await;
    assert_eq!(page.status, 200);
    assert_ne!(browser.jar["jwt"], old["jwt"]);
    assert_ne!(browser.jar["jwt_session"], old["jwt_session"]);
    assert!(browser.get("/account").await.cookies().is_empty());

    // The answer was lost: the token before is still good for a page, and for asking again.
    let mut lost = Browser { jar: old.clone(), ..Browser::new(&site) };
    assert!(lost.is_signed_in().await);

    // Spent: its successor was used since. Whoever shows it is not signed in, and neither is the other one.
    site.clock.pass(10 * MINUTE);
    assert!(browser.is_signed_in().await);
    site.clock.pass(MINUTE);
    let mut thief = Browser { jar: old, ..Browser::new(&site) };
    assert!(!thief.is_signed_in().await);
    assert!(!browser.is_signed_in().await);
}

#[tokio::test]
async fn a_spent_session_cookie_changes_nothing_even_beside_a_good_access_cookie() {
    let site = Site::new().await;
    let mut browser = Browser::registered(&site, "ada").await;
    let old = browser.jar["jwt_session"].clone();
    for _ in 0..2 {
        site.clock.pass(10 * MINUTE);
        assert!(browser.is_signed_in().await);
    }
    site.clock.pass(MINUTE);
    let mut phone = Browser::new(&site);
    phone.enter("/login", "ada").await;
    let mut thief = Browser { jar: browser.jar.clone(), ..Browser::new(&site) };
    thief.jar.insert("jwt_session".into(), old);
    let token = browser.get("/account").await.form_token();
    let fields = [("session", "others"), ("form_token", token.as_str())];
    assert_eq!(location(&thief.post_fields("/account/sessions", &fields).await), "/login");
    assert!(phone.is_signed_in().await);
}

fn trusting(origin: &str) -> impl FnOnce(&mut jotgate::config::Config) {
    let origin = Origin::parse(origin).unwrap();
    move |config| config.cookie.trusted_origins = vec![origin]
}

#[tokio::test]
async fn whoever_is_sent_here_for_a_new_cookie_goes_back_at_once_but_never_in_circles() {
    let site = Site::with(support::http_origin(), trusting("http://localhost:3000")).await;
    let mut browser = Browser::registered(&site, "ada").await;
    let sent = "/login?return_to=http://localhost:3000/page";
    // With a good cookie the application had no reason to send anybody: a person decides.
    let asked = browser.get(sent).await;
    assert_eq!(asked.status, 200);
    assert!(asked.text().contains("You are signed in") && asked.text().contains("localhost:3000"));
    // The cookie ran out: renewed, and back.
    site.clock.pass(10 * MINUTE);
    browser.jar.remove("jwt");
    assert_eq!(location(&browser.get(sent).await), "http://localhost:3000/page");
    assert!(browser.jar.contains_key("jwt"));
    // The application does not see the cookie, and sends its user again and again.
    for _ in 0..3 {
        browser.jar.remove("jwt");
        site.clock.pass(Duration::from_secs(1));
        assert_eq!(browser.get(sent).await.status, 200);
    }
    // A path of our own likewise.
    assert_eq!(browser.get("/login?return_to=/somewhere").await.status, 200);
}

#[tokio::test]
async fn a148_only_good_destinations_survive() {
    let site = Site::with(https_origin(), |config| {
        config.cookie.domain = Some("example.com".into());
        config.cookie.trusted_origins = vec![Origin::parse("https://partner.test").unwrap()];
    })
    .await;
    for (asked, to, policy) in [
        ("/somewhere", "/somewhere", "form-action 'self'"),
        ("https://partner.test/a", "https://partner.test/a", "form-action 'self' https://partner.test"),
        (
            "https://wiki.example.com/",
            "https://wiki.example.com/",
            "form-action 'self' https://wiki.example.com",
        ),
        ("https://login.example.com/somewhere", "/somewhere", "form-action 'self'"),
        ("https://evil.test/", "/account", "form-action 'self'"),
        ("//evil.test/", "/account", "form-action 'self'"),
        ("/\\evil.test/", "/account", "form-action 'self'"),
        ("http://wiki.example.com/", "/account", "form-action 'self'"),
        ("https://*.example.com/", "/account", "form-action 'self'"),
        ("/login", "/account", "form-action 'self'"),
        ("/logout", "/account", "form-action 'self'"),
    ] {
        let username = format!("u{}", asked.len());
        let query = url::form_urlencoded::byte_serialize(asked.as_bytes()).collect::<String>();
        for path in ["/login", "/register"] {
            let page = Browser::new(&site).get(&format!("{path}?return_to={query}")).await;
            let sent = page.header("content-security-policy").unwrap();
            assert!(sent.split("; ").any(|directive| directive == policy), "{asked}: {sent}");
        }
        let mut browser = Browser::new(&site);
        let fields = [("username", username.as_str()), ("password", PASSWORD), ("return_to", asked)];
        let registered = browser.post("/register", "/register", &fields).await;
        let to = if to == "/account" && registered.status == 303 { "/account?done=registered" } else { to };
        if registered.status == 303 {
            assert_eq!(location(&registered), to, "{asked}");
        }
        let mut browser = Browser::new(&site);
        let entered = browser.post("/login", "/login", &fields).await;
        assert_eq!(location(&entered), to.trim_end_matches("?done=registered"), "{asked}");
        browser.jar.remove("__Host-jwt_form");
        let out = browser.post("/logout", "/logout", &[("return_to", asked)]).await;
        let out_to = if to.starts_with("/account") { "/logout" } else { to };
        assert_eq!(location(&out), out_to, "{asked}");
    }
}

#[tokio::test]
async fn over_https_every_cookie_is_prefixed_and_the_shared_one_reaches_the_domain() {
    let site = Site::with(https_origin(), |config| config.cookie.domain = Some("example.com".into())).await;
    let mut browser = Browser::new(&site);
    let token = browser.post("/register", "/register", &[("username", "ada"), ("password", PASSWORD)]).await;
    let cookies = token.cookies();
    let find = |name: &str| cookies.iter().find(|cookie| cookie.starts_with(name)).unwrap().clone();
    let access = find("__Secure-jwt=");
    assert!(
        access.contains("Domain=example.com") && access.contains("Secure") && access.contains("HttpOnly")
    );
    let session = find("__Host-jwt_session=");
    assert!(!session.contains("Domain") && session.contains("SameSite=Lax") && session.contains("Path=/"));
    let names: Vec<_> = browser.jar.keys().map(String::as_str).collect();
    assert_eq!(names, ["__Host-jwt_device", "__Host-jwt_form", "__Host-jwt_session", "__Secure-jwt"]);
}

#[tokio::test]
async fn a89_a146_every_page_defends_itself() {
    let site = Site::new().await;
    let mut member = Browser::registered(&site, "ada").await;
    let mut stranger = Browser::new(&site);
    for path in ["/account", "/logout", "/login", "/register", "/nothing", "/login?return_to=/x"] {
        for page in [member.get(path).await, stranger.get(path).await] {
            assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
            if page.status == 303 {
                continue;
            }
            let policy = page.header("content-security-policy").unwrap();
            for directive in [
                "default-src 'none'",
                "style-src 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "form-action 'self'",
            ] {
                assert!(policy.split("; ").any(|one| one == directive), "{path}: {directive} in {policy}");
            }
            assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{path}: {policy}");
            assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "{path}");
            assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
            // Nothing from anywhere else.
            let text = page.text();
            for attribute in ["src=\"", "href=\"", "action=\""] {
                for target in text.split(attribute).skip(1) {
                    assert!(target.starts_with(['/', '#']) && !target.starts_with("//"), "{path}: {target}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_style_sheet_is_kept_for_a_year_and_never_stale() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.get("/login").await.text();
    let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let style = browser.get(rest.split('"').next().unwrap()).await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(style.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert!(style.cookies().is_empty());
    // A page of another build, in the middle of an upgrade.
    let other = browser.get("/assets/style-000000000000.css").await;
    assert_eq!(other.body, style.body);
    assert_eq!(other.header("cache-control"), Some("no-store"));
    for path in ["/assets/style.css", "/assets/..%2fstyle-000000000000.css", "/assets/", "/assets"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a78_a_form_without_fetch_metadata_needs_its_token() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let good = browser.get("/register").await.form_token();
    let other = Browser::new(&site).get("/register").await.form_token();
    let tampered: String = good.chars().rev().collect();
    let fields = |token| [("username", "ada"), ("password", PASSWORD), ("form_token", token)];
    for wrong in ["", &other, &tampered] {
        let refused = browser.post_fields("/register", &fields(wrong)).await;
        assert_eq!(refused.status, 403);
        assert!(refused.text().contains("403 csrf") && refused.cookies().is_empty(), "{}", refused.text());
    }
    assert_eq!(browser.post_fields("/register", &fields(&good)).await.status, 303);
    for path in ["/account/sessions", "/account/password", "/logout"] {
        let refused = browser.post_fields(path, &[("session", "others"), ("form_token", &other)]).await;
        assert_eq!(refused.status, 403, "{path}");
    }
    assert!(browser.is_signed_in().await);
}

#[tokio::test]
async fn a88_reading_changes_nothing() {
    let site = Site::new().await;
    let mut browser = Browser::registered(&site, "ada").await;
    for path in ["/logout", "/logout?return_to=/x", "/register?return_to=/x", "/login?return_to=/x"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    for path in ["/account/sessions?session=others", "/account/password?new_password=x"] {
        assert_eq!(location(&browser.get(path).await), "/account");
    }
    assert!(browser.is_signed_in().await);
}

#[tokio::test]
async fn a76_a79_a88_no_other_site_signs_anybody_in_or_out() {
    let site = Site::new().await;
    // Lax cookies stay at home when another site posts; the answer could set or clear them all the same.
    for path in ["/login", "/register", "/logout", "/clear-cookies"] {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.test"),
        ] {
            let ask = site.ask(Method::POST, path).header(name, value);
            let form = format!("username=mallory&password={PASSWORD}");
            let refused =
                ask.header("content-type", "application/x-www-form-urlencoded").body(form).send().await;
            assert_eq!(refused.status, 403, "{path} {value}");
            assert!(refused.cookies().is_empty() && refused.text().contains("403 csrf"), "{path} {value}");
        }
    }
}

#[tokio::test]
async fn a71_a92_signing_in_again_ends_the_session_before() {
    let site = Site::new().await;
    let mut browser = Browser::registered(&site, "ada").await;
    for (path, username) in [("/register", "bob"), ("/login", "ada"), ("/login", "ada")] {
        let before = browser.jar["jwt_session"].clone();
        assert_eq!(browser.enter(path, username).await.status, 303);
        assert_ne!(browser.jar["jwt_session"], before);
        let page = browser.get("/account").await;
        assert!(page.text().contains(&format!("<h1>{username}</h1>")));
        assert_eq!(devices(&page), 1, "one device signed in twice is one device");
        let refreshed = site.refresh(&before).await;
        assert_eq!((refreshed.status, refreshed.code().as_str()), (401, "invalid_refresh_token"));
    }
}

#[tokio::test]
async fn a91_an_access_token_in_the_session_cookie_is_nobody() {
    let site = Site::new().await;
    let browser = Browser::registered(&site, "ada").await;
    let access = browser.jar["jwt"].clone();
    for name in ["jwt_session", "jwt"] {
        let mut stranger = Browser::new(&site);
        stranger.jar.insert(name.into(), access.clone());
        assert_eq!(location(&stranger.get("/account").await), "/login", "{name}");
    }
    // It is enough to sign out, though: the session and both cookies go.
    let mut half = Browser::new(&site);
    half.jar.insert("jwt".into(), access);
    assert!(half.get("/logout").await.text().contains("Sign out?"));
    assert_eq!(location(&half.post("/logout", "/logout", &[]).await), "/logout");
    assert!(half.get("/logout").await.text().contains("You are signed out"));
    let mut browser = browser;
    assert!(!browser.is_signed_in().await);
}

#[tokio::test]
async fn a154_a191_what_strangers_send_is_text_on_our_pages() {
    let site = Site::new().await;
    let mut browser = Browser::registered(&site, "ada").await;
    let evil = "\"><script>alert(1)</script><img src=x onerror=alert(2)>";
    let mut device = Browser { agent: format!("{evil} Mozilla/5.0 {evil}"), ..Browser::new(&site) };
    device.enter("/login", "ada").await;
    let inert = |page: &Answer| {
        assert!(!page.text().contains("<script") && !page.text().contains("<img src=x"), "{}", page.text());
    };
    inert(&browser.get("/account").await);

    let encoded: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
    for path in ["/login?return_to=", "/logout?return_to=", "/account?done=", "/nothing/", "/assets/"] {
        inert(&browser.get(&format!("{path}{encoded}")).await);
        inert(&Browser::new(&site).get(&format!("{path}{encoded}")).await);
    }
    let fields = [("username", evil), ("email", evil), ("password", "x"), ("return_to", evil)];
    for path in ["/login", "/register"] {
        let page = Browser::new(&site).post(path, path, &fields).await;
        assert!(page.text().contains("&#60;script&#62;"), "kept as it was typed: {}", page.text());
        inert(&page);
    }
}

#[tokio::test]
async fn what_was_typed_is_kept_but_never_a_password() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let fields = [("username", "ada"), ("password", PASSWORD)];
    let wrong = browser.post("/login", "/login", &fields).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().contains("value=\"ada\"") && wrong.text().contains("<title>Error: Sign in"));
    assert!(!wrong.text().contains(PASSWORD));
    Browser::registered(&site, "ada").await;
    let fields = [("username", "ADA"), ("password", PASSWORD), ("email", "ada@example.com")];
    let taken = browser.post("/register", "/register", &fields).await;
    assert_eq!(taken.status, 409);
    assert!(taken.text().contains("value=\"ADA\"") && taken.text().contains("value=\"ada@example.com\""));
    assert!(taken.text().contains("id=\"username-error\"") && !taken.text().contains(PASSWORD));
    // Nothing at all, and more than anybody types.
    for fields in [
        &[][..],
        &[("username", ""), ("password", "")],
        &[("username", "a"), ("password", &"x".repeat(9_000))],
    ] {
        assert_eq!(browser.post("/login", "/login", fields).await.status / 100, 4);
        assert_eq!(browser.post("/register", "/register", fields).await.status, 422);
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_it_is_said_for_how_long() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let mut last = browser.enter("/login", "nobody").await;
    for _ in 0..40 {
        last = browser.enter("/login", "nobody").await;
        if last.status == 429 {
            break;
        }
    }
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").is_some());
    assert!(last.text().contains("Try again in"), "{}", last.text());
    assert!(last.text().contains("value=\"nobody\""));
}

#[tokio::test]
async fn a85_two_cookies_of_one_name_are_cleared_by_the_page_that_says_so() {
    let site = Site::new().await;
    let page = site.get("/account").header("cookie", "jwt_session=a; jwt_session=b").send().await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("400 ambiguous_credentials"));
    assert!(page.cookies().iter().any(|cookie| cookie.starts_with("jwt_session=;")));
    // So many that only the page that clears them is answered.
    let many = (0..180).map(|n| format!("other{n}={}", "x".repeat(200))).collect::<Vec<_>>().join("; ");
    let refused = site.get("/login").header("cookie", &many).send().await;
    assert_eq!(refused.status, 431);
    assert!(refused.text().contains("href=\"/clear-cookies\""));
    assert_eq!(site.get("/clear-cookies").header("cookie", &many).send().await.status, 200);
}

#[tokio::test]
async fn a_closed_registration_says_so() {
    let site = Site::with(support::http_origin(), |config| config.registration_enabled = Some(false)).await;
    let mut browser = Browser::new(&site);
    assert!(!browser.get("/login").await.text().contains("/register"));
    assert!(browser.get("/register").await.text().contains("Registration is closed"));
    let fields = [("username", "ada"), ("password", PASSWORD)];
    let refused = browser.post("/login", "/register", &fields).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("Registration is closed"));
}
