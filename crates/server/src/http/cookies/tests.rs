use super::*;

fn cookies(url: &str, domain: Option<&str>, past: &[&str]) -> Cookies {
    let (scheme, host) = url.split_once("://").unwrap();
    Cookies::new(
        &config::Cookie {
            name: "jwt".into(),
            domain: domain.map(Into::into),
            same_site: SameSite::Strict,
            trusted_origins: vec![],
        },
        &Origin { https: scheme == "https", host: host.into(), port: None },
        &Mount::default(),
        &past.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>(),
    )
}

fn headers(fields: &[&[u8]]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for field in fields {
        map.append(COOKIE, HeaderValue::from_bytes(field).unwrap());
    }
    map
}

fn text(values: impl IntoIterator<Item = HeaderValue>) -> Vec<String> {
    values.into_iter().map(|v| v.to_str().unwrap().to_owned()).collect()
}

#[test]
fn a75_names_prefixes_and_attributes() {
    let host = cookies("https://id.example.com", None, &[]);
    assert_eq!(
        text(host.access("a.b.c", 600).unwrap()),
        ["__Host-jwt=a.b.c; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Strict"]
    );
    assert_eq!(
        text([host.session("jgr_x", 60).unwrap()]),
        ["__Host-jwt_session=jgr_x; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"]
    );
    assert_eq!(
        text(host.clear()),
        [
            "__Host-jwt=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict",
            "__Host-jwt_session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
        ]
    );

    let sso = cookies("https://id.example.com", Some(".example.com"), &[]);
    assert_eq!(
        text(sso.access("t", 1).unwrap()),
        [
            "__Secure-jwt=t; Path=/; Domain=example.com; Max-Age=1; Secure; HttpOnly; SameSite=Strict",
            "__Host-jwt=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict",
        ]
    );
    assert_eq!(
        text([sso.session("r", 1).unwrap()]),
        ["__Host-jwt_session=r; Path=/; Max-Age=1; Secure; HttpOnly; SameSite=Lax"]
    );

    let local = cookies("http://127.0.0.1", None, &[]);
    assert_eq!(text(local.access("t", 1).unwrap()), ["jwt=t; Path=/; Max-Age=1; HttpOnly; SameSite=Strict"]);
    assert_eq!(
        text([local.helper(Helper::Form, "f", LONGEST_AGE + 1).unwrap()]),
        ["jwt_form=f; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"]
    );
}

#[test]
fn a_changed_domain_clears_every_scope_used_before() {
    let now = cookies(
        "https://id.a.example.com",
        Some("a.example.com"),
        &["example.com", ".A.example.com", "example.com"],
    );
    assert_eq!(
        text(now.clear()),
        [
            "__Secure-jwt=; Path=/; Domain=a.example.com; Max-Age=0; Secure; HttpOnly; SameSite=Strict",
            "__Host-jwt_session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
            "__Host-jwt=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict",
            "__Secure-jwt=; Path=/; Domain=example.com; Max-Age=0; Secure; HttpOnly; SameSite=Strict",
        ]
    );
    let back = cookies("https://id.example.com", None, &["example.com"]);
    assert_eq!(
        text(back.access("t", 5).unwrap()),
        [
            "__Host-jwt=t; Path=/; Max-Age=5; Secure; HttpOnly; SameSite=Strict",
            "__Secure-jwt=; Path=/; Domain=example.com; Max-Age=0; Secure; HttpOnly; SameSite=Strict",
        ]
    );
}

#[test]
fn reading_is_strict_about_ours_and_blind_to_others() {
    let c = cookies("https://id.example.com", None, &[]);
    let sent = |fields: &[&[u8]]| {
        let headers = headers(fields);
        c.read(&headers)
            .map(|s| (s.access.map(str::to_owned), s.session.map(str::to_owned)))
            .map_err(|d| d.name.to_owned())
    };
    let yes = |a: &str| Ok((Some(a.to_owned()), None));
    assert_eq!(sent(&[b"__Host-jwt=a"]), yes("a"));
    assert_eq!(sent(&[b"x=1; __Host-jwt=a;y=2"]), yes("a"));
    assert_eq!(sent(&[b"x=1;__Host-jwt =  a "]), yes("a"));
    assert_eq!(sent(&[b"x=1", b"__Host-jwt=a", b"y"]), yes("a"), "several fields are one string");
    assert_eq!(sent(&[b"__Host-jwt=a=b"]), yes("a=b"));
    // There, but nothing that we wrote.
    assert_eq!(sent(&[b"__Host-jwt="]), yes(""));
    assert_eq!(sent(&[b"__Host-jwt=\"a\""]), yes(""));
    assert_eq!(sent(&[b"__Host-jwt=a b"]), yes(""));
    assert_eq!(sent(&[b"__Host-jwt=a,b"]), yes(""));
    assert_eq!(sent(&[b"__Host-jwt=\xff"]), yes(""));
    // Not ours.
    for other in [
        &b"jwt=a"[..],
        b"__host-jwt=a",
        b"__Host-JWT=a",
        b"__Secure-jwt=a",
        b"__Host-jwt",
        b"=__Host-jwt=a",
        b"__Host-jwtx=a",
        b";;;",
        b"=",
        b"\xff\xfe=\x80; \"; ,",
    ] {
        assert_eq!(sent(&[other]), Ok((None, None)), "{other:?}");
    }
    // Twice.
    for twice in [&[&b"__Host-jwt=a; __Host-jwt=a"[..]][..], &[b"__Host-jwt=a", b"__Host-jwt="]] {
        assert_eq!(sent(twice), Err("__Host-jwt".to_owned()));
    }
    assert_eq!(
        sent(&[b"__Host-jwt_session=1;__Host-jwt=2;__Host-jwt_session=3"]),
        Err("__Host-jwt_session".into())
    );
    assert_eq!(sent(&[b"x=1; x=2"]), Ok((None, None)), "others may repeat theirs");
}

#[test]
fn duplicates_are_cleared_where_a_sibling_can_have_put_them() {
    let sso = cookies("https://id.example.com", Some("example.com"), &[]);
    let cleared = text(sso.clear_everywhere("__Secure-jwt", "/auth/me"));
    for scope in [
        "Path=/; Max-Age",
        "Path=/auth; Domain=example.com;",
        "Path=/auth/; Domain=id.example.com;",
        "Path=/auth/me; Domain=example.com;",
    ] {
        assert!(cleared.iter().any(|c| c.contains(scope)), "{scope} in {cleared:?}");
    }
    assert!(cleared.iter().all(|c| c.starts_with("__Secure-jwt=; ") && c.contains("; Max-Age=0; Secure")));
    assert_eq!(text(sso.clear_everywhere("__Host-jwt_session", "/auth/me")).len(), 1);
    for long in ["/x".repeat(5000), format!("/{}", "x".repeat(8000))] {
        let size: usize = text(sso.clear_everywhere("__Secure-jwt", &long)).iter().map(String::len).sum();
        assert!((200..=CLEAR_BUDGET).contains(&size), "bounded: {size}");
    }
    assert!(text(sso.clear_everywhere("__Secure-jwt", "/a;Domain=x/b")).iter().all(|c| !c.contains("=x")));
    assert_eq!(ancestors("/a/b;x/c"), ["/", "/a", "/a/"]);
    assert_eq!(ancestors("/a//b"), ["/", "/a", "/a/", "/a/", "/a//", "/a//b"]);
    let local = cookies("http://127.0.0.1", None, &[]);
    assert!(text(local.clear_everywhere("jwt", "/auth/me")).iter().all(|c| !c.contains("Domain")));
}

#[test]
fn a_cookie_beyond_the_budget_is_refused_and_not_cut() {
    let c = cookies("https://id.example.com", None, &[]);
    assert!(c.access(&"a".repeat(c.access_budget()), 1).is_ok());
    assert_eq!(c.access(&"a".repeat(c.access_budget() + 1), 1), Err(TooLarge { size: SIZE_BUDGET + 1 }));
    assert_eq!(c.access_budget(), 4000 - "__Host-jwt=".len());
}

#[test]
fn no_value_can_add_an_attribute() {
    let c = cookies("http://localhost", None, &[]);
    assert_eq!(
        text([c.helper(Helper::Flow, "x; Domain=evil", 1).unwrap()]),
        ["jwt_flow=; Path=/; Max-Age=1; HttpOnly; SameSite=Lax"]
    );
}

/// RFC 6265 §4.1.1, written out.
#[test]
fn of_all_bytes_those_of_a_cookie_value_are_taken() {
    assert!(is_cookie_value(b""));
    for byte in 0..=u8::MAX {
        let is_octet = matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        // Alone, and among so many that several are looked at together.
        assert_eq!(is_cookie_value(&[byte]), is_octet, "{byte:#x}");
        for place in [0, 31, 70] {
            let mut value = [b'a'; 71];
            value[place] = byte;
            assert_eq!(is_cookie_value(&value), is_octet, "{byte:#x} at {place}");
        }
    }
}
