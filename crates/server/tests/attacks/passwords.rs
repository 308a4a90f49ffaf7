//! Which passwords are taken, and which are equal.

use serde_json::json;

use crate::support::{PASSWORD, Site};
use crate::tools::*;

#[tokio::test]
async fn a56_a57_every_character_and_every_byte_of_a_password_counts() {
    let site = Site::new().await;
    let long = |n: usize| "xK9!vq2w".repeat(40).chars().take(n - 1).collect::<String>() + "z";
    let good = [
        long(15),
        long(64),
        long(128),
        long(256),
        "        x        ".to_owned(),
        "🦀🐢🦑🐙🐠🐟🐡🦐".to_owned(),
        "abc\u{0}defgh".to_owned(),
        "пароль из слов".to_owned(),
        "🦀🐢 ".repeat(85) + "🦀",
    ];
    for (n, password) in good.iter().enumerate() {
        let name = format!("user{n}");
        let registered = site.post("/auth/register", &credentials(&name, password)).send().await;
        assert_eq!(registered.status, 201, "{password:.20}: {}", registered.text());
        assert_eq!(try_login(&site, &name, password).await.status, 200, "{password:.20}");
        // One character off at either end, or cut at a NUL, is another password.
        let chars: Vec<char> = password.chars().collect();
        let almost = [
            chars[1..].iter().collect::<String>(),
            chars[..chars.len() - 1].iter().collect(),
            password.split('\u{0}').next().unwrap().to_owned()
                + if password.contains('\u{0}') { "" } else { "?" },
            format!("{password}\u{0}"),
            format!(" {password}"),
            password.to_uppercase() + "x",
        ];
        for wrong in almost {
            let answer = try_login(&site, &name, &wrong).await;
            assert!(matches!(answer.status, 400 | 401), "{password:.20}: {wrong:.20} {}", answer.status);
        }
    }
    let one = "p".repeat(89) + "ab0123456789";
    let other = "p".repeat(89) + "bb0123456789";
    assert_eq!(site.post("/auth/register", &credentials("ninety", &one)).send().await.status, 201);
    assert_eq!(try_login(&site, "ninety", &other).await.status, 401, "byte 90 counts");
}

#[tokio::test]
async fn a56_what_is_longer_than_any_password_is_refused_before_it_is_hashed() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    for length in [257, 1_000, 4_000, 5_000, 15_000] {
        let long = "x".repeat(length);
        let registered = site.post("/auth/register", &credentials("eve", &long)).send().await;
        assert_eq!((registered.status, registered.code().as_str()), (422, "weak_password"), "{length}");
        let login = try_login(&site, "ada", &long).await;
        assert_eq!((login.status, login.code().as_str()), (400, "invalid_request"), "{length}");
        assert_eq!(shape(&login), shape(&try_login(&site, "nobody", &long).await), "{length}");
    }
    let large = try_login(&site, "ada", &"x".repeat(1_000_000)).await;
    assert_eq!(large.status, 413);
    // None of them was a guess.
    for _ in 0..40 {
        assert_eq!(try_login(&site, "ada", &"x".repeat(300)).await.status, 400);
    }
    assert_eq!(site.login("ada").await.status, 200);
}

#[tokio::test]
async fn a58_composed_or_not_it_is_the_same_password() {
    let site = Site::new().await;
    let (composed, apart) = ("caf\u{e9} \u{c5}ngstr\u{f6}m", "cafe\u{301} A\u{30a}ngstro\u{308}m");
    assert_eq!(site.post("/auth/register", &credentials("ada", composed)).send().await.status, 201);
    assert_eq!(site.post("/auth/register", &credentials("bob", apart)).send().await.status, 201);
    for name in ["ada", "bob"] {
        for password in [composed, apart] {
            assert_eq!(try_login(&site, name, password).await.status, 200, "{name} {password}");
        }
        // Compatibility forms and other letters are others.
        assert_eq!(try_login(&site, name, "cafe Angstrom").await.status, 401);
    }
    let tokens = try_login(&site, "ada", apart).await.tokens();
    let change = json!({"current_password": apart, "new_password": "\u{212b} new and long"});
    let changed = site.post("/auth/password/change", &change).bearer(&tokens.access).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(try_login(&site, "ada", "A\u{30a} new and long").await.status, 200);
}

#[tokio::test]
async fn a72_common_and_obvious_passwords_are_refused_with_a_reason_and_no_others() {
    let site = Site::new().await;
    let register = async |name: &str, password: &str, email: &str| {
        let body = json!({"username": name, "password": password, "email": email});
        site.post("/auth/register", &body).send().await
    };
    for (name, password, email, reason) in [
        ("alice", "password1", "", "attackers"),
        ("alice", "PASSWORD1", "", "attackers"),
        ("alice", "qwertyuiop", "", "attackers"),
        ("alice", "aaaaaaaaaaaa", "", "attackers"),
        ("alice", "abababababab", "", "attackers"),
        ("alice", "iloveyouiloveyou", "", "attackers"),
        ("alice", "xxALICExx99", "", "user name"),
        ("alice", "a-l-i-c-e-99-x", "", "user name"),
        ("alice", "jotgate-2026!", "", "service"),
        ("alice", "JotGate rules", "", "service"),
        ("alice", "zorro99 is mine", "zorro99@example.com", "e-mail"),
        ("alice", "short", "", "at least 8"),
    ] {
        let refused = register(name, password, email).await;
        assert_eq!((refused.status, refused.code().as_str()), (422, "weak_password"), "{password}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason) && !detail.contains(password), "{password}: {detail}");
    }
    // No rule of composition.
    for (n, password) in ["nur kleine buchstaben", "83920175639401", "ÄÖÜÄÖÜß?"].iter().enumerate() {
        assert_eq!(register(&format!("user{n}"), password, "").await.status, 201, "{password}");
    }
    // The same rules for a change.
    let tokens = {
        site.register("bob").await;
        site.login("bob").await.tokens()
    };
    for weak in ["password1", "bobbobbob", "jotgate-2026!", "short", &"x".repeat(257)] {
        let change = json!({"current_password": PASSWORD, "new_password": weak});
        let refused = site.post("/auth/password/change", &change).bearer(&tokens.access).send().await;
        assert_eq!((refused.status, refused.code().as_str()), (422, "weak_password"), "{weak}");
    }
    assert_eq!(site.login("bob").await.status, 200, "nothing was changed");
}
