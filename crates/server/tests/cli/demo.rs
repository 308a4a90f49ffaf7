//! `jotgate demo`: every step holds, and nothing stays.

use super::program::{Place, finish};

#[test]
fn the_tour_holds_is_plain_where_no_terminal_is_and_leaves_nothing() {
    let place = Place::new();
    let mut command = place.command(&["demo"]);
    // What is configured for a real installation is nobody's business here.
    command.env("TMPDIR", place.path()).env("JOTGATE_NONSENSE", "1");
    let run = finish(command, "").exits(0);
    assert_eq!(run.err, "");
    assert!(!run.out.contains('\x1b'));
    for number in 1..=8 {
        assert!(run.out.contains(&format!("\n{number}  ")), "step {number}: {}", run.out);
    }
    for told in [
        "Set-Cookie: jwt=",
        "\"alg\": \"ES256\"",
        "offline: invalid_signature",
        "offline: expired",
        "\"code\":\"refresh_token_reused\"",
        "204 No Content",
        "\"code\":\"revoked\"",
        "All 8 steps held",
    ] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    assert!(!run.out.contains('✗'));
    assert!(run.out.lines().all(|line| line.chars().count() <= 100), "{}", run.out);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn the_tour_as_json() {
    let report = Place::new().run(&["demo", "--json"]).exits(0).json();
    assert_eq!(report["held"], true);
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 8);
    assert!(
        steps.iter().flat_map(|step| step["checks"].as_array().unwrap()).all(|check| check["held"] == true)
    );
}

#[test]
fn a_tour_that_cannot_start_fails() {
    let place = Place::new();
    let mut command = place.command(&["demo"]);
    command.env("TMPDIR", place.path().join("nowhere"));
    let run = finish(command, "").exits(1);
    assert!(run.err.contains("cannot make a temporary directory"), "{}", run.err);
}
