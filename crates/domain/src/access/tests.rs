use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// `name: host, path…, METHODS…, word…` a line, to keep tables short.
fn rules(lines: &[(&str, &str, &str, &str)]) -> Rules {
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let all = lines.iter().enumerate().map(|(i, (host, path, methods, asks))| {
        let mut rule = Rule {
            host: list(host).iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
            path: list(path).iter().map(|path| PathPattern::parse(path).unwrap()).collect(),
            methods: list(methods).iter().map(|name| method(name).unwrap()).collect(),
            ..Rule::default()
        };
        for word in list(asks) {
            match word.split_once('=') {
                Some(("role", role)) => rule.role.push(role.to_owned()),
                Some(("scope", scope)) => rule.scope.push(scope.to_owned()),
                Some(("age", secs)) => rule.max_age = Some(Duration::from_secs(secs.parse().unwrap())),
                _ if word == "public" => rule.access = Access::Public,
                _ => panic!("{word}"),
            }
        }
        (format!("r{i}"), rule)
    });
    Rules::new(all.collect::<BTreeMap<_, _>>())
}

/// `public`, `signed_in`, `role=…`, or why it is refused.
fn asked(rules: &Rules, method: &str, host: &str, path: &str) -> String {
    let Some((host, _)) = Host::parse(host) else { return "host".to_owned() };
    match rules.requirement(&Asked { method, host: &host, path: path.as_bytes() }) {
        Ok(needs) => {
            let mut words = vec![if needs.signed_in { "signed_in" } else { "public" }.to_owned()];
            words.extend(needs.roles.iter().map(|role| format!("role={role}")));
            words.extend(needs.scopes.iter().map(|scope| format!("scope={scope}")));
            words.extend(needs.max_age.map(|age| format!("age={}", age.as_secs())));
            if words.len() > 1 {
                words.remove(0);
            }
            words.join(" ")
        }
        Err(Refused::Unnamed) => "unnamed".to_owned(),
        Err(Refused::Method) => "method".to_owned(),
        Err(Refused::Path) => "path".to_owned(),
    }
}

fn site() -> Rules {
    rules(&[
        ("app.example.com", "/", "", ""),
        ("app.example.com", "/public =/", "", "public"),
        ("app.example.com", "/admin", "", "role=admin"),
        ("app.example.com", "/admin/reports", "", "role=auditor"),
        ("app.example.com", "/money", "", "age=300"),
    ])
}

#[test]
fn the_most_specific_rule_applies() {
    let rules = site();
    for (path, expected) in [
        ("/", "public"),
        ("/x", "signed_in"),
        ("/public", "public"),
        ("/public/", "public"),
        ("/public/a/b.css", "public"),
        ("/publican", "signed_in"),
        ("/public.bak", "signed_in"),
        ("/admin.json", "role=admin"),
        ("/ADMIN.xml", "role=admin"),
        ("/admin%2ejson", "role=admin"),
        ("/admin/.json", "role=admin"),
        ("/x.admin", "signed_in"),
        ("/.admin", "signed_in"),
        ("/admin", "role=admin"),
        ("/admin/", "role=admin"),
        ("/admin/users", "role=admin"),
        ("/administrator", "signed_in"),
        ("/admin/reports/2026", "role=auditor"),
        ("/money/send", "age=300"),
        ("/caf%C3%A9", "signed_in"),
        ("/a%20b", "signed_in"),
        ("/100%25", "signed_in"),
    ] {
        assert_eq!(asked(&rules, "GET", "app.example.com", path), expected, "{path}");
    }
}

#[test]
fn a157_the_strictest_reading_of_a_path_wins() {
    let rules = site();
    for path in [
        "/public/../admin",
        "/public/./../admin/x",
        "/public/%2e%2e/admin",
        "/public/%2E%2e/admin",
        "/public/.%2e/admin",
        "/public/..%2fadmin",
        "/public/..%2Fadmin",
        "/public%2f..%2fadmin",
        "/public%2f%2e%2e%2fadmin",
        "/public/%252e%252e/admin",
        "/public/%25252e%25252e/admin",
        "/public/..%252fadmin",
        "/public/..;/admin",
        "/public/..;a=b/admin",
        "/public/%2e%2e;/admin",
        "/public/..%3b/admin",
        "/public\\..\\admin",
        "/public/..\\admin",
        "/public%5c..%5cadmin",
        "/public/..%255cadmin",
        "/public//../../admin",
        "/public/a/../../admin",
        "//admin",
        "///admin//x",
        "/./admin",
        "/x/../admin",
        "/admin;x",
        "/admin;x=1/users",
        "/;a/admin",
        "/admin%3bx",
        "/%61dmin",
        "/%2561dmin",
        "/%2fadmin",
        "/%2Fadmin",
        "/%252fadmin",
        "/\\admin",
        "/%5cadmin",
        "/admin%2f",
        "/admin%2fx",
        "/admin/%2e",
        "/admin/.",
        "/admin/..",
        "/admin/../public",
        "/admin%2f..%2fpublic",
        "/admin/%2e%2e/public",
        "/admin%3f",
        "/admin%3f/../public",
        "/admin%23/../../public",
        "/Admin",
        "/ADMIN/x",
        "/%41dmin",
        "/public/../Admin",
    ] {
        assert_eq!(asked(&rules, "GET", "app.example.com", path), "role=admin", "{path}");
    }
    for path in [
        "",
        "*",
        "admin",
        "http://app.example.com/public",
        "/public%00/../admin",
        "/public%00",
        "/public%0a",
        "/public%250a",
        "/public\n",
        "/public\u{7f}",
        "/public/%ff",
        "/public/%c0%ae%c0%ae/admin",
        "/public/%c0%af..%c0%afadmin",
        "/public/%e0%80%af",
        "/public/%u002e%u002e/admin",
        "/public/%",
        "/public/%2",
        "/public/%zz",
        "/public#/admin",
    ] {
        assert_eq!(asked(&rules, "GET", "app.example.com", path), "path", "{path:?}");
    }
    assert_eq!(asked(&rules, "GET", "app.example.com", &format!("/public/%{}41", "25".repeat(200))), "path");
    assert_eq!(asked(&rules, "GET", "app.example.com", &format!("/public/{}", "a".repeat(9000))), "path");
}

#[test]
fn a157_a_public_path_below_a_closed_one_is_left_only_as_it_is_written() {
    let rules = rules(&[
        ("app.example.com", "/", "", ""),
        ("app.example.com", "/Docs", "", "public"),
        ("app.example.com", "=/login", "", "public"),
    ]);
    for (path, expected) in [
        ("/Docs", "public"),
        ("/Docs/a", "public"),
        // Another resource where case matters, the same where it does not.
        ("/docs", "signed_in"),
        ("/DOCS/a", "signed_in"),
        ("/login", "public"),
        ("/login/", "signed_in"),
        ("/login/x", "signed_in"),
        ("/login;x", "signed_in"),
        ("/login%2fx", "signed_in"),
        ("/Docs/../x", "signed_in"),
        ("/Docs/../Docs/x", "public"),
        ("/Docs/a%2fb", "public"),
        ("/Docs//a", "public"),
    ] {
        assert_eq!(asked(&rules, "GET", "app.example.com", path), expected, "{path}");
    }
}

#[test]
fn a158_hosts_are_compared_label_by_label() {
    let rules = rules(&[
        ("example.com", "", "", "role=apex"),
        ("*.example.com", "", "", "role=wild"),
        ("app.example.com", "", "", "public"),
        ("*.apps.example.com *.other.test", "", "", ""),
        ("192.0.2.7 [2001:db8::1] localhost", "", "", "role=local"),
    ]);
    for (host, expected) in [
        ("example.com", "role=apex"),
        ("EXAMPLE.com", "role=apex"),
        ("example.com.", "role=apex"),
        ("example.com:8443", "role=apex"),
        ("eXample.COM.:8443", "role=apex"),
        ("example.com:", "host"),
        ("app.example.com", "public"),
        ("App.Example.Com.:443", "public"),
        ("shop.example.com", "role=wild"),
        ("apps.example.com", "role=wild"),
        ("a.apps.example.com", "signed_in"),
        ("x.other.test", "signed_in"),
        ("other.test", "unnamed"),
        ("a.b.example.com", "unnamed"),
        ("a.app.example.com", "unnamed"),
        ("evil-example.com", "unnamed"),
        ("evilexample.com", "unnamed"),
        ("example.com.evil.test", "unnamed"),
        ("a.example.com.evil", "unnamed"),
        ("app.example.comx", "unnamed"),
        ("192.0.2.7:80", "role=local"),
        ("[2001:DB8:0::1]:8443", "role=local"),
        ("2001:db8::1", "host"),
        ("localhost:3000", "role=local"),
        ("", "host"),
        (".", "host"),
        (".example.com", "host"),
        ("app..example.com", "host"),
        ("example.com..", "host"),
        ("app.example.com, evil.test", "host"),
        ("app.example.com,app.example.com", "host"),
        ("app.example.com evil.test", "host"),
        ("evil@app.example.com", "host"),
        ("app.example.com/x", "host"),
        ("app.example.com:80:90", "host"),
        ("app.example.com:x", "host"),
        ("app.example.com:99999", "host"),
        ("app.example.com\u{0}", "host"),
        ("\u{430}pp.example.com", "host"),
        ("app\u{3002}example.com", "host"),
        ("app%2eexample.com", "host"),
        ("*.example.com", "host"),
        (&format!("{}.example.com", "a".repeat(64)), "host"),
    ] {
        assert_eq!(asked(&rules, "GET", host, "/"), expected, "{host}");
    }
}

#[test]
fn a163_a_method_is_no_way_around_a_rule() {
    let rules = rules(&[
        ("app.example.com", "/", "", ""),
        ("app.example.com", "/admin", "GET POST", "role=admin"),
        ("app.example.com", "/api", "GET", "public"),
        ("app.example.com", "/api", "", "role=writer"),
        ("app.example.com", "/cors", "OPTIONS", "public"),
        ("app.example.com", "/cors", "GET POST", ""),
    ]);
    for (method, path, expected) in [
        ("GET", "/admin", "role=admin"),
        ("HEAD", "/admin", "role=admin"),
        ("POST", "/admin/x", "role=admin"),
        // Not through the rule for everything else, either.
        ("get", "/admin", "method"),
        ("Post", "/admin", "method"),
        ("OPTIONS", "/admin", "method"),
        ("TRACE", "/admin", "method"),
        ("DELETE", "/admin", "method"),
        ("GET ", "/admin", "method"),
        ("", "/admin", "method"),
        ("GET", "/api", "public"),
        ("HEAD", "/api", "public"),
        ("get", "/api", "role=writer"),
        ("PUT", "/api/x", "role=writer"),
        ("OPTIONS", "/cors", "public"),
        ("GET", "/cors", "signed_in"),
        ("options", "/cors", "method"),
        ("PATCH", "/cors", "method"),
        ("BREW", "/elsewhere", "signed_in"),
    ] {
        assert_eq!(asked(&rules, method, "app.example.com", path), expected, "{method} {path}");
    }
}

#[test]
fn of_equally_specific_rules_all_must_hold() {
    let rules = rules(&[
        ("app.example.com", "/a", "", "role=one scope=read"),
        ("app.example.com", "/a", "", "role=two age=60"),
        ("app.example.com", "/b /b/c", "GET", "public"),
        ("app.example.com x.example.com", "/b/c", "GET POST", ""),
        ("*.example.com", "/", "", "role=wild"),
    ]);
    assert_eq!(asked(&rules, "GET", "app.example.com", "/a"), "role=one role=two scope=read age=60");
    assert_eq!(asked(&rules, "GET", "app.example.com", "/b"), "public");
    assert_eq!(asked(&rules, "GET", "app.example.com", "/b/c"), "signed_in");
    assert_eq!(asked(&rules, "POST", "app.example.com", "/b/c"), "signed_in");
    // An exact host is not measured against wildcards.
    assert_eq!(asked(&rules, "GET", "app.example.com", "/c"), "role=wild");
    assert_eq!(asked(&rules, "GET", "y.example.com", "/a"), "role=wild");
    assert_eq!(asked(&Rules::default(), "GET", "app.example.com", "/"), "unnamed");
}

struct Ada {
    roles: &'static [&'static str],
    at: Option<u64>,
}

impl Caller for Ada {
    fn has_role(&self, role: &str) -> bool {
        self.roles.contains(&role)
    }

    fn has_scope(&self, scope: &str) -> bool {
        scope == "read"
    }

    fn authenticated_at(&self) -> Option<u64> {
        self.at
    }
}

#[test]
fn a167_who_may_pass() {
    const NOW: u64 = 1_000_000;
    let age = Some(Duration::from_secs(300));
    let need = |roles: &[&str], scopes: &[&str], max_age| {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Requirement { signed_in: true, roles: owned(roles), scopes: owned(scopes), max_age }
    };
    let table = [
        (Requirement::default(), None, Decision::Allow),
        (Requirement::signed_in(), None, Decision::SignIn),
        (need(&["a"], &[], age), None, Decision::SignIn),
        (Requirement::default(), Some((&["a"][..], None)), Decision::Allow),
        (Requirement::signed_in(), Some((&[][..], None)), Decision::Allow),
        (need(&["a", "b"], &["read"], None), Some((&["b", "a"][..], None)), Decision::Allow),
        (need(&["a", "b"], &[], None), Some((&["a"][..], None)), Decision::Forbid),
        (need(&["A"], &[], None), Some((&["a"][..], None)), Decision::Forbid),
        (need(&[], &["read", "write"], None), Some((&["a"][..], None)), Decision::Forbid),
        (need(&[], &[], age), Some((&["a"][..], Some(NOW))), Decision::Allow),
        (need(&[], &[], age), Some((&["a"][..], Some(NOW - 300))), Decision::Allow),
        (need(&[], &[], age), Some((&["a"][..], Some(NOW - 301))), Decision::SignInAgain(300)),
        (need(&[], &[], age), Some((&["a"][..], Some(NOW + 30))), Decision::Allow),
        (need(&[], &[], age), Some((&["a"][..], None)), Decision::SignInAgain(300)),
        // Signing in again would not help.
        (need(&["b"], &[], age), Some((&["a"][..], None)), Decision::Forbid),
    ];
    for (need, who, expected) in table {
        let ada = who.map(|(roles, at)| Ada { roles, at });
        assert_eq!(need.decide(ada.as_ref(), NOW), expected, "{need:?} {who:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_told() {
    for (lines, problem) in [
        (&[("", "/", "", "")][..], "r0 has no host"),
        (&[("a.test", "/", "", "public role=x")][..], "r0 is public and asks for rules.r0.role"),
        (&[("a.test", "/", "", "public age=9")][..], "r0.max_age"),
        (&[("a.test", "/x", "", ""), ("b.test a.test", "/y /x/", "", "public")][..], "rules.r0 and rules.r1"),
        (&[("a.test", "", "GET PUT", ""), ("A.test", "/", "PUT GET", "")][..], "make one rule"),
    ] {
        let told = rules(lines).problem().unwrap_or_default();
        assert!(told.contains(problem), "{told}");
    }
    let fine = [
        ("a.test", "/x", "", ""),
        ("a.test", "/x", "GET", "public"),
        ("a.test", "=/x", "", "public"),
        ("*.test.example", "/x", "", ""),
    ];
    assert_eq!(rules(&fine).problem(), None);
    assert_eq!(site().problem(), None);
}

#[test]
fn patterns_are_read_strictly() {
    for host in [
        "",
        "*",
        "*.",
        "*.com",
        "*.localhost",
        "a.*.com",
        "a*.example.com",
        "**.example.com",
        "*.*.example.com",
        "https://a.test",
        "a.test/",
        "a.test:443",
        "*.a.test:443",
        "a.test.",
        "*.a.test.",
        "a b",
        "b\u{fc}cher.test",
        ".a.test",
        "*.[::1]",
        "user@a.test",
    ] {
        assert!(HostPattern::parse(host).is_err(), "{host}");
    }
    for (host, shown) in
        [("App.Example.com", "app.example.com"), ("*.Example.com", "*.example.com"), ("[::1]", "[::1]")]
    {
        assert_eq!(HostPattern::parse(host).unwrap().to_string(), shown);
    }
    for path in [
        "", "admin", "=", "=admin", "*", "/*", "/admin/*", "/a?b", "/a#b", "/a%20b", "/a b", "/a;b", "/a\\b",
        "//a", "/a//b", "/./a", "/a/..", "/a\n",
    ] {
        assert!(PathPattern::parse(path).is_err(), "{path}");
    }
    for (path, shown) in
        [("/", "/"), ("/a/", "/a"), ("=/", "=/"), ("=/a/b", "=/a/b"), ("/caf\u{e9}", "/caf\u{e9}")]
    {
        assert_eq!(PathPattern::parse(path).unwrap().to_string(), shown);
    }
    for name in ["", "get", "Get", "GE T", "GET,POST", "*", "G\u{c9}T"] {
        assert!(method(name).is_err(), "{name}");
    }
    assert_eq!(method("M-SEARCH").as_deref(), Ok("M-SEARCH"));
}

/// What an attacker would put together.
fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "//", "/.", "/..", "/admin", "/public", "/ADMIN", ";", ";x=1", "%2f", "%2F", "%252f", "%2e",
        "%252e", "\\", "%5c", "%3b", "%3f", "%23", "%61", "%25", "a", "%c3%a9", "%00", "%ff", "..", ".",
    ]);
    prop::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    /// Whatever one program makes of a path, in whatever order it reads it: if that is below `/admin`, its rule
    /// has been asked.
    #[test]
    fn a157_no_way_of_reading_leads_past_a_rule(path in hostile_path(), steps in prop::collection::vec(0..7_usize, 0..8)) {
        let rules = site();
        let verdict = asked(&rules, "GET", "app.example.com", &path);
        let mut read = path.as_bytes().to_vec();
        for step in steps {
            read = match step {
                0 => percent_encoding_of(&read),
                1 => String::from_utf8_lossy(&read).replace('\\', "/").into_bytes(),
                2 => {
                    let text = String::from_utf8_lossy(&read).into_owned();
                    text.split('/').map(|s| s.split(';').next().unwrap()).collect::<Vec<_>>().join("/").into_bytes()
                }
                3 => {
                    let mut text = String::from_utf8_lossy(&read).into_owned();
                    while text.contains("//") { text = text.replace("//", "/"); }
                    text.into_bytes()
                }
                4 => resolved(&read),
                5 => String::from_utf8_lossy(&read).split(['?', '#']).next().unwrap().to_owned().into_bytes(),
                _ => String::from_utf8_lossy(&read).to_lowercase().into_bytes(),
            };
        }
        let lower = String::from_utf8_lossy(&read).to_lowercase();
        if lower == "/admin" || lower.starts_with("/admin/") {
            prop_assert!(verdict.contains("role=") || verdict == "path", "{path} is read as {lower}: {verdict}");
        }
    }

    #[test]
    fn readings_are_bounded_and_closed(path in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(all) = readings(&path) {
            prop_assert!(all.len() <= 64 && all.contains(&path));
            prop_assert!(all.iter().all(|reading| reading.len() <= path.len() + 1));
            for reading in &all {
                prop_assert!(!reading.contains(&0) && std::str::from_utf8(reading).is_ok());
            }
        }
    }

    #[test]
    fn a158_a_host_has_one_form(text in "[a-zA-Z0-9.:*@,\\[\\] _-]{0,40}") {
        if let Some((host, port)) = Host::parse(&text) {
            prop_assert_eq!(Host::parse(host.as_str()), Some((host.clone(), None)));
            let upper = format!("{}.", host.as_str().to_ascii_uppercase());
            if !host.as_str().starts_with('[') {
                prop_assert_eq!(Host::parse(&upper), Some((host, None)));
            }
            prop_assert!(port.is_none() || text.contains(':'));
        }
    }
}

/// Decoded by another hand than the code's.
fn percent_encoding_of(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < path.len() {
        let hex = path.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match hex.filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit())).filter(|_| path[i] == b'%') {
            Some(hex) => {
                out.push(u8::from_str_radix(hex, 16).unwrap());
                i += 3;
            }
            None => {
                out.push(path[i]);
                i += 1;
            }
        }
    }
    out
}

fn resolved(path: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(path).into_owned();
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/")).into_bytes()
}
