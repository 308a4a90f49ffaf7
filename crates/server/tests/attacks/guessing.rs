//! Guessing passwords: one counter an account however its name is written, one an address however it is, and
//! nobody kept out by strangers.

use std::time::Duration;

use futures_util::future::join_all;
use jotgate_domain::throttle::Limit;
use serde_json::json;

use crate::support::{Answer, PASSWORD, Site, http_origin};
use crate::tools::*;

const WRONG: &str = "a wrong password";

async fn guess_from(site: &Site, address: &str, name: &str, password: &str) -> Answer {
    site.post("/auth/login", &credentials(name, password)).sent_from(address).send().await
}

fn is_throttled(answer: &Answer) -> bool {
    if answer.status != 429 {
        return false;
    }
    assert_eq!(answer.code(), "too_many_attempts");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=300).contains(&wait), "{wait}");
    true
}

/// How many guesses at an account are granted at once.
fn free() -> usize {
    Limit::ACCOUNT.free as usize + 1
}

#[tokio::test]
async fn a63_one_account_from_many_addresses_is_throttled_and_others_are_not() {
    let site = Site::new().await;
    for name in ["ada", "bob"] {
        assert_eq!(site.register(name).await.status, 201);
    }
    let mut granted = 0;
    for n in 0..1_000_u32 {
        let address = format!("198.51.{}.{}", n / 250, n % 250);
        granted += usize::from(!is_throttled(&guess_from(&site, &address, "ada", WRONG).await));
    }
    assert_eq!(granted, free());
    assert!(is_throttled(&guess_from(&site, "203.0.113.9", "ada", PASSWORD).await), "not even the right one");
    assert_eq!(guess_from(&site, "198.51.0.1", "bob", PASSWORD).await.status, 200);
    // Unknown names are counted like known ones, so nothing is told by it.
    let mut unknown = 0;
    for _ in 0..100 {
        unknown += usize::from(!is_throttled(&guess_from(&site, "203.0.113.8", "nobody", WRONG).await));
    }
    assert_eq!(unknown, granted);
}

#[tokio::test]
async fn a63_many_accounts_from_one_address_are_throttled_and_other_addresses_are_not() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let mut granted = 0;
    for n in 0..600 {
        granted +=
            usize::from(!is_throttled(&guess_from(&site, "198.51.100.7", &format!("u{n}"), WRONG).await));
    }
    assert_eq!(granted, Limit::ADDRESS.free as usize + 1);
    assert!(is_throttled(&guess_from(&site, "198.51.100.7", "ada", PASSWORD).await));
    let body = credentials("newcomer", PASSWORD);
    let register = site.post("/auth/register", &body).sent_from("198.51.100.7").send().await;
    assert!(is_throttled(&register), "the same counter for names that are tried by registering");
    assert_eq!(guess_from(&site, "198.51.100.8", "ada", PASSWORD).await.status, 200);
    site.clock.pass(Duration::from_secs(2));
    assert_eq!(guess_from(&site, "198.51.100.7", "ada", PASSWORD).await.status, 200, "nobody for good");
}

#[tokio::test]
async fn a63_own_successes_buy_no_guesses_at_others() {
    let site = Site::new().await;
    for name in ["ada", "mallory"] {
        assert_eq!(site.register(name).await.status, 201);
    }
    let mut at_ada = 0;
    for _ in 0..100 {
        at_ada += usize::from(!is_throttled(&guess_from(&site, "198.51.100.7", "ada", WRONG).await));
        assert_eq!(guess_from(&site, "198.51.100.7", "mallory", PASSWORD).await.status, 200);
    }
    assert_eq!(at_ada, free());
}

#[tokio::test]
async fn a63_guesses_at_once_are_counted_each() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let guesses = (0..200_u32).map(|n| {
        let address = format!("198.51.100.{n}");
        let site = &site;
        async move { guess_from(site, &address, "ada", WRONG).await }
    });
    // Some find no place in the queue for hashing: they are told so, and have had no guess.
    let answers = join_all(guesses).await;
    let (granted, rest): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 401);
    assert_eq!(granted.len(), free());
    assert!(rest.iter().all(|answer| is_throttled(answer) || answer.status == 503));
}

#[tokio::test]
async fn a63_a_counter_outlives_a_restart_and_is_one_for_all_processes() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    for _ in 0..free() {
        assert_eq!(try_login(&site, "ada", WRONG).await.status, 401);
    }
    let site = site.restart(|_| {}).await;
    assert!(is_throttled(&site.login("ada").await));
    let beside = Site::over(
        beside(&site).await,
        site.dir.clone(),
        site.config.clone(),
        site.origin.clone(),
        site.clock.clone(),
    );
    assert!(is_throttled(&beside.login("ada").await));
    beside.clock.pass(Duration::from_secs(1));
    assert_eq!(site.login("ada").await.status, 200);
}

#[tokio::test]
async fn a64_however_a_name_is_written_it_has_one_counter() {
    let site = Site::new().await;
    assert_eq!(site.register("Alice").await.status, 201);
    prove_email(&site, "Alice", "alice@example.com").await;
    let padded = format!("alice{}", "\u{200b}".repeat(500));
    let spellings = [
        "alice",
        "ALICE",
        " alice ",
        "ａｌｉｃｅ",
        "\u{430}lice",
        "al\u{131}ce",
        "al\u{200d}ice",
        "alice\u{feff}",
        "\talice\n",
        "alice@example.com",
        "ALICE@EXAMPLE.COM",
        "Alice@Example.com ",
        "alice\u{ff20}example.com",
        "al\u{131}ce@example.com",
        &padded,
    ];
    let mut granted = 0;
    for n in 0..400 {
        let answer = try_login(&site, spellings[n % spellings.len()], WRONG).await;
        granted += usize::from(!is_throttled(&answer));
    }
    assert_eq!(granted, free());
    for spelling in spellings {
        assert!(is_throttled(&try_login(&site, spelling, PASSWORD).await), "{spelling:?}");
    }
}

#[tokio::test]
async fn a64_a65_however_an_address_is_written_it_has_one_counter() {
    let site = Site::with(http_origin(), |config| {
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()];
    })
    .await;
    let mut count = 0;
    let mut guess = async |peer: &str, headers: &[(&str, &str)]| {
        count += 1;
        let mut ask = site.post("/auth/login", &credentials(&format!("n{count}"), WRONG)).sent_from(peer);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        ask.send().await
    };
    for n in 0..=Limit::ADDRESS.free {
        let host = format!("2001:db8:1:2:{:x}::{:x}", n % 7, n);
        assert_eq!(guess(&host, &[]).await.status, 401, "{n}");
    }
    for (peer, headers) in [
        ("2001:db8:1:2::1", &[][..]),
        ("2001:0db8:0001:0002:ffff:ffff:ffff:ffff", &[]),
        ("10.1.1.1", &[("x-forwarded-for", "2001:DB8:1:2::9")]),
        ("10.1.1.1", &[("x-forwarded-for", "203.0.113.7, [2001:db8:1:2:a::]:443")]),
        ("::ffff:10.1.1.1", &[("forwarded", "for=\"[2001:db8:1:2::77]:1234\"")]),
        // Nobody who connects directly says who else they are.
        ("2001:db8:1:2::1", &[("x-forwarded-for", "203.0.113.7")]),
        ("2001:db8:1:2::1", &[("forwarded", "for=203.0.113.7")]),
        ("2001:db8:1:2::1", &[("x-real-ip", "203.0.113.7"), ("cf-connecting-ip", "203.0.113.7")]),
    ] {
        assert!(is_throttled(&guess(peer, headers).await), "{peer} {headers:?}");
    }
    // An IPv4 address mapped into IPv6 is that address.
    for _ in 0..=Limit::ADDRESS.free {
        guess("::ffff:203.0.113.9", &[]).await;
    }
    assert!(is_throttled(&guess("203.0.113.9", &[]).await));
    assert!(is_throttled(&guess("10.1.1.1", &[("x-forwarded-for", "::ffff:203.0.113.9")]).await));
    assert!(!is_throttled(&guess("203.0.113.10", &[]).await));
}

#[tokio::test]
async fn a67_strangers_neither_end_sessions_nor_keep_out_a_known_device() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let here = cookie_login(&site, "ada").await;
    let device = format!("jwt_device={}", cookie_value(&here, "jwt_device"));
    let tokens = site.login("ada").await.tokens();
    for n in 0..1_000_u32 {
        guess_from(&site, &format!("198.51.{}.{}", n / 250, n % 250), "ada", WRONG).await;
    }
    accepted_everywhere(&site, &tokens.access).await;
    site.clock.pass(Duration::from_millis(20));
    assert_eq!(site.refresh(&tokens.refresh).await.status, 200);
    let login = async |cookie: &str, password: &str| {
        site.post("/auth/login", &credentials("ada", password))
            .header("cookie", cookie)
            .header("origin", "http://127.0.0.1:8080")
            .send()
            .await
    };
    assert!(is_throttled(&site.login("ada").await), "a stranger waits");
    assert_eq!(login(&device, PASSWORD).await.status, 200, "the owner does not");
    // The device's success does not free the strangers' counter.
    assert!(is_throttled(&try_login(&site, "ada", WRONG).await));
    // It is a counter of its own, not none.
    let mut granted = 0;
    for _ in 0..100 {
        granted += usize::from(!is_throttled(&login(&device, WRONG).await));
    }
    assert_eq!(granted, free());
    // Nothing made up is a known device.
    let value = cookie_value(&here, "jwt_device");
    let mut flipped = value.clone().into_bytes();
    flipped[3] ^= 1;
    for forged in [String::from_utf8(flipped).unwrap(), value[..40].to_owned(), "A".repeat(43), String::new()]
    {
        let answer = login(&format!("jwt_device={forged}"), PASSWORD).await;
        assert!(is_throttled(&answer), "{forged}: {}", answer.text());
    }
    site.clock.pass(Duration::from_secs(300));
    assert_eq!(site.login("ada").await.status, 200, "nobody is locked out for good");
}

#[tokio::test]
async fn a67_a_known_device_is_one_users_and_ends_with_the_password() {
    let site = Site::new().await;
    for name in ["ada", "bob"] {
        assert_eq!(site.register(name).await.status, 201);
    }
    let here = cookie_login(&site, "ada").await;
    let device = cookie_value(&here, "jwt_device");
    for name in ["ada", "bob"] {
        for _ in 0..free() {
            try_login(&site, name, WRONG).await;
        }
    }
    let login = async |name: &str, password: &str, device: &str| {
        site.post("/auth/login", &credentials(name, password))
            .header("cookie", &format!("jwt_device={device}"))
            .header("origin", "http://127.0.0.1:8080")
            .send()
            .await
    };
    assert!(is_throttled(&login("bob", PASSWORD, &device).await), "another's device is none");
    assert_eq!(login("ada", PASSWORD, &device).await.status, 200);
    let tokens = login("ada", PASSWORD, &device).await.tokens();
    site.clock.pass(Duration::from_millis(5));
    let change = json!({"current_password": PASSWORD, "new_password": "quite another passphrase"});
    let changed = site.post("/auth/password/change", &change).bearer(&tokens.access).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert!(
        is_throttled(&login("ada", "quite another passphrase", &device).await),
        "a184 dies with the password"
    );
}

#[tokio::test]
async fn a67_a_stolen_session_cannot_guess_the_password_for_ever_nor_keep_its_owner_out() {
    let site = Site::new().await;
    let stolen = site.signed_in("ada").await;
    let mut granted = 0;
    for n in 0..100 {
        let change =
            json!({"current_password": format!("guess number {n}"), "new_password": "quite another phrase"});
        let answer = site.post("/auth/password/change", &change).bearer(&stolen.access).send().await;
        assert!(matches!(answer.status, 401 | 429), "{}", answer.text());
        granted += usize::from(answer.status == 401);
    }
    assert_eq!(granted, free());
    assert_eq!(site.login("ada").await.status, 200, "signing in has another counter");
}

#[tokio::test]
async fn a_clock_that_jumps_blocks_nobody_for_longer_than_the_longest_delay() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    site.clock.pass(Duration::from_secs(365 * 86_400));
    for _ in 0..60 {
        guess_from(&site, "198.51.100.7", "ada", WRONG).await;
    }
    site.clock.go_back(Duration::from_secs(365 * 86_400));
    // What was counted stays counted: a guess, and then the longest delay.
    assert_eq!(guess_from(&site, "203.0.113.7", "ada", WRONG).await.status, 401);
    assert!(is_throttled(&guess_from(&site, "203.0.113.7", "ada", PASSWORD).await));
    site.clock.pass(Duration::from_secs(300));
    assert_eq!(guess_from(&site, "203.0.113.7", "ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_clock_that_jumps_back_and_forth_gives_no_guesses_away() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let mut granted = 0;
    for n in 0..200 {
        if n % 2 == 0 {
            site.clock.pass(Duration::from_millis(400))
        } else {
            site.clock.go_back(Duration::from_millis(400))
        }
        granted += usize::from(!is_throttled(&try_login(&site, "ada", WRONG).await));
    }
    assert!(granted <= free(), "{granted}");
}

#[tokio::test]
async fn a68_what_was_never_hashed_was_no_guess() {
    let site = Site::with(http_origin(), |config| {
        config.password = jotgate::config::PasswordHash { memory_kib: 19_456, iterations: 4, parallelism: 1 };
    })
    .await;
    assert_eq!(site.register("ada").await.status, 201);
    // Strangers keep every hashing thread busy, and the owner, told to come back, comes back.
    let flood =
        (0..400_u32).map(|n| {
            let site = &site;
            async move {
                guess_from(site, &format!("198.51.{}.{}", n / 250, n % 250), &format!("n{n}"), WRONG).await
            }
        });
    let owner = async {
        let mut told = Vec::new();
        for _ in 0..60 {
            tokio::task::yield_now().await;
            told.push(guess_from(&site, "203.0.113.9", "ada", PASSWORD).await);
        }
        told
    };
    let (flooded, told) = futures_util::future::join(join_all(flood), owner).await;
    let busy = flooded.iter().chain(&told).filter(|answer| answer.status == 503);
    for answer in busy.clone() {
        assert_eq!(answer.code(), "busy");
        assert!(answer.header("retry-after").is_some());
    }
    assert!(busy.count() > 50, "the flood was no flood");
    let statuses: Vec<u16> = told.iter().map(|answer| answer.status).collect();
    assert!(!statuses.contains(&429), "{statuses:?}");
    assert_eq!(guess_from(&site, "203.0.113.9", "ada", PASSWORD).await.status, 200);
}
