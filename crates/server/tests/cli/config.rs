//! `jotgate config`.

use super::program::Place;

#[test]
fn nothing_configured_is_good() {
    let run = Place::new().run(&["config", "check"]).exits(0);
    assert_eq!(run.out, "The configuration is good.\n");
}

#[test]
fn every_mistake_is_told_with_its_place_and_the_nearest_name() {
    let place = Place::new();
    place.write("jotgate.toml", "lisen = \"127.0.0.1:1\"\n\n[cookie]\ndomain = \"co.uk\"\n");
    let run = place.run_with(
        &[("JOTGATE_TOKEN_ACCESSTTL", "5m"), ("JOTGATE_PUBLIC_URL", "https://auth.example.co.uk")],
        &["config", "check", "--session-max-ttl", "1y"],
    );
    let run = run.exits(1);
    for told in [
        "lisen (jotgate.toml:1): there is no such key; the nearest is listen",
        "cookie.domain (jotgate.toml:4): .co.uk is a public suffix",
        "JOTGATE_TOKEN_ACCESSTTL: there is no such key; the nearest is JOTGATE_TOKEN_ACCESS_TTL",
        "session.max_ttl (--session-max-ttl): expected a duration",
        "4 errors",
    ] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    let json = place.run(&["config", "check", "--json"]).exits(1).json();
    assert_eq!(json["valid"], false);
    assert_eq!(json["errors"][0]["key"], "lisen");
    assert_eq!(json["errors"][0]["from"], "jotgate.toml:1");
}

#[test]
fn another_command_fails_with_the_same_words() {
    let place = Place::new();
    place.write("jotgate.toml", "lisen = 1\ntoken = 2\n");
    let run = place.run(&["config", "show"]).exits(1);
    assert!(
        run.err.starts_with("error: the configuration has 2 mistakes\n\n  lisen (jotgate.toml:1): "),
        "{}",
        run.err
    );
    assert!(run.err.contains("\n  token (jotgate.toml:2): is a section"));
}

#[test]
fn show_says_where_each_value_comes_from() {
    let place = Place::new();
    let file = place.write("my.toml", "token.access_ttl = \"5m\"\ntoken.audience = \"api\"\n");
    let run = place.run_with(
        &[("JOTGATE_CONFIG", file.to_str().unwrap()), ("JOTGATE_TOKEN_AUDIENCE", "a,b")],
        &["config", "show", "--json", "--refresh.grace", "20s", "--allow-insecure-http"],
    );
    let shown = run.exits(0).json();
    let of = |key: &str| {
        let all = shown.as_array().unwrap();
        let one = all.iter().find(|one| one["key"] == key).unwrap();
        (one["value"].as_str().unwrap().to_owned(), one["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("token.access_ttl"), ("\"5m\"".to_owned(), format!("{}:1", file.display())));
    assert_eq!(of("token.audience"), ("\"a,b\"".to_owned(), "JOTGATE_TOKEN_AUDIENCE".to_owned()));
    assert_eq!(of("refresh.grace"), ("\"20s\"".to_owned(), "--refresh-grace".to_owned()));
    assert_eq!(of("allow_insecure_http"), ("\"true\"".to_owned(), "--allow-insecure-http".to_owned()));
    assert_eq!(of("listen"), ("\"127.0.0.1:8080\"".to_owned(), "default".to_owned()));
}

#[test]
fn a_file_that_is_named_has_to_be_there() {
    let place = Place::new();
    let run = place.run(&["config", "show", "--config", "other.toml"]).exits(1);
    assert!(run.err.contains("cannot read other.toml, which --config names"), "{}", run.err);
    let run = place.run_with(&[("JOTGATE_CONFIG", "other.toml")], &["config", "show"]).exits(1);
    assert!(run.err.contains("which JOTGATE_CONFIG names"), "{}", run.err);
    std::fs::write(place.path().join("jotgate.toml"), b"listen = \"\xff\"").unwrap();
    assert!(place.run(&["config", "show"]).exits(1).err.contains("not text in UTF-8"));
}

#[test]
fn files_that_are_named_have_to_be_readable() {
    let place = Place::new();
    place.write(
        "jotgate.toml",
        "master_key_file = \"nowhere.key\"\n[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n",
    );
    place.write("c.pem", "");
    let run = place.run(&["config", "check"]).exits(1);
    assert!(run.out.contains("tls.key (jotgate.toml:4): cannot read k.pem"), "{}", run.out);
    assert!(run.out.contains("master_key_file (jotgate.toml:1): cannot read nowhere.key"), "{}", run.out);
    assert!(!run.out.contains("c.pem"));
}

#[test]
fn a_password_in_a_url_is_on_no_screen() {
    let place = Place::new();
    for (url, status) in
        [("postgres://jot:hunter2@db/x", 0), ("postgres://jot:hunter2@db/x?password=hunter2", 1)]
    {
        let run = place.run_with(&[("JOTGATE_DATABASE_URL", url)], &["config", "check"]).exits(status);
        assert!(run.out.contains("database_url") && !run.out.contains("hunter2"), "{}", run.out);
    }
    place.write("url", "postgres://jot:hunter2@db/x\n");
    let run = place.run_with(&[("JOTGATE_DATABASE_URL_FILE", "url")], &["config", "show"]).exits(0);
    assert!(run.out.contains("postgres://jot:********@db/x") && !run.out.contains("hunter2"), "{}", run.out);
}

#[test]
fn checking_makes_nothing() {
    let place = Place::new();
    place.run(&["config", "check"]).exits(0);
    place.run(&["config", "show"]).exits(0);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}
