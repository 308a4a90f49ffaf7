//! `jotgate backup` and `jotgate restore`, on the database of a server that runs, is stopped, or was killed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::host::{self, HASH, Host, PASSWORD, tokens};

/// The status list and the key that a token names, unverified.
fn named(token: &str) -> (u64, String) {
    let part = |index: usize| -> Value {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let uri = part(1)["status"]["status_list"]["uri"].as_str().unwrap().to_owned();
    let list = uri.rsplit('/').next().unwrap().parse().unwrap();
    (list, part(0)["kid"].as_str().unwrap().to_owned())
}

/// What lies in the data directory, but for what comes and goes.
fn files(host: &Host) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(host.place.path().join("jotgate-data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm") && name != "outbox")
        .collect();
    names.sort();
    names
}

fn database(host: &Host) -> PathBuf {
    host.place.path().join("jotgate-data/jotgate.db")
}

#[test]
fn a_backup_under_load_is_of_one_instant_and_nothing_revoked_since_comes_back() {
    // No grace: each refresh moves the counter.
    let serve = ["--refresh-grace", "0s"];
    let mut host = Host::start_with(&serve);
    for name in ["ann", "bob", "cy", "gone", "load0", "load1", "load2"] {
        host.add(name);
    }
    let ann = host.login("ann");
    let bob = host.login("bob");
    let renewed = tokens(&host.refresh(&ann.refresh));

    // Logins, refreshes and logouts go on all the while.
    let over = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..3 {
            let (over, rounds, url) = (&over, &rounds, host.url.clone());
            scope.spawn(move || {
                let login = json!({"username": format!("load{n}"), "password": PASSWORD});
                while !over.load(Ordering::Relaxed) {
                    let first = tokens(&host::ask(&url, "POST", "/auth/login", None, Some(&login)));
                    let body = json!({"refresh_token": first.refresh});
                    let next = tokens(&host::ask(&url, "POST", "/auth/refresh", None, Some(&body)));
                    let done = host::ask(&url, "POST", "/auth/logout", Some(&next.access), None);
                    assert_eq!(done.0, 204);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let wait = || {
            let seen = rounds.load(Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(30);
            while rounds.load(Ordering::Relaxed) < seen + 3 {
                assert!(Instant::now() < deadline);
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait();
        let made = host.run(&["backup", "good.backup", "--json"]);
        wait();
        over.store(true, Ordering::Relaxed);
        let made = made.exits(0).json();
        assert_eq!((&made["users"], &made["encryption"]), (&json!(7), &json!("none")));
    });
    let file = host.place.path().join("good.backup");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(host.audit("database.backed_up"), 1);

    // What happens after the backup.
    host.add("late");
    host.run(&["user", "delete", "gone", "--yes"]).exits(0);
    let ann_later = tokens(&host.refresh(&renewed.refresh));
    assert_eq!(host.ask("POST", "/auth/logout", Some(&bob.access), None).0, 204);
    let cy = host.login("cy");
    assert_eq!(host.verify(&ann_later.access), 200);
    let (old_list, old_kid) = named(&ann_later.access);

    let refused = host.run(&["restore", "good.backup", "--yes"]).exits(1);
    assert!(refused.err.contains("already runs"), "{}", refused.err);
    host.stop();
    let refused = host.run(&["restore", "good.backup"]).exits(2);
    assert!(refused.err.contains("--yes"), "{}", refused.err);
    let done = host.run(&["restore", "good.backup", "--yes", "--json"]).exits(0).json();
    let undone = &done["undone"];
    assert_eq!((&undone["users_made"], &undone["users_deleted"]), (&json!(1), &json!(1)), "{done}");
    // Of the load, up to three sessions were open at the instant of the copy, and as many may have begun since.
    assert!(undone["sessions_ended"].as_u64().unwrap() >= 1, "{done}");
    assert!(undone["sessions_begun"].as_u64().unwrap() >= 1, "{done}");
    assert!(undone["audit_entries"].as_u64().unwrap() >= 5, "{done}");
    let kept = done["kept"].as_str().unwrap();
    assert!(Path::new(&host.place.path().join(kept)).is_file());

    host.start_again(&serve);
    for token in [&ann.access, &renewed.access, &ann_later.access, &bob.access, &cy.access] {
        assert_eq!(host.verify(token), 401);
    }
    // Newer than the database, and taken all the same.
    let ann_now = tokens(&host.refresh(&ann_later.refresh));
    assert_eq!(host.verify(&ann_now.access), 200);
    assert_eq!(host.audit("refresh.database_went_back"), 1);
    let (list, kid) = named(&ann_now.access);
    assert!(list > old_list && kid != old_kid, "{list} {kid}");
    // It had ended, which the backup does not know; its new tokens are not refused for that.
    let bob_now = tokens(&host.refresh(&bob.refresh));
    assert_eq!(host.verify(&bob_now.access), 200);
    // A session and a user that the backup does not know.
    assert_eq!(host.refresh(&cy.refresh).0, 401);
    let late = json!({"username": "late", "password": PASSWORD});
    assert_eq!(host.ask("POST", "/auth/login", None, Some(&late)).0, 401);
    assert!(host.users().contains(&"gone".to_owned()));
    assert_eq!(host.audit("database.restored"), 1);
    // Whoever followed the server is told of the keys that ended, and finds none of them published.
    let feed = host.ask("GET", "/auth/revocations", None, None).1;
    let told: Vec<&str> =
        feed["entries"].as_array().unwrap().iter().filter_map(|entry| entry["kid"].as_str()).collect();
    assert!(told.contains(&old_kid.as_str()), "{feed}");
    let jwks = host.ask("GET", "/.well-known/jwks.json", None, None).1;
    let published: Vec<&str> =
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert!(published.contains(&kid.as_str()) && !published.contains(&old_kid.as_str()), "{jwks}");
    assert!(files(&host).iter().all(|name| !name.contains("restoring") && !name.contains("backing-up")));
}

#[test]
fn a_backup_replaces_nothing_unless_told_and_says_what_is_not_in_it() {
    let host = Host::start();
    host.add("ann");
    let run = host.run(&["backup", "a.backup"]).exits(0);
    assert!(run.out.contains("1 user, 0 live sessions") && run.out.contains("master.key"), "{}", run.out);
    let before = fs::read(host.place.path().join("a.backup")).unwrap();
    let run = host.run(&["backup", "a.backup"]).exits(1);
    assert!(run.err.contains("--force"), "{}", run.err);
    assert_eq!(fs::read(host.place.path().join("a.backup")).unwrap(), before);
    host.add("bob");
    host.run(&["backup", "a.backup", "--force"]).exits(0);
    assert_ne!(fs::read(host.place.path().join("a.backup")).unwrap(), before);
    for own in ["jotgate-data/jotgate.db", "jotgate-data/master.key"] {
        let kept = fs::read(host.place.path().join(own)).unwrap();
        let run = host.run(&["backup", own, "--force"]).exits(1);
        assert!(run.err.contains("installation itself"), "{}", run.err);
        assert_eq!(fs::read(host.place.path().join(own)).unwrap(), kept);
    }
    host.run(&["backup", "no/such/dir/a.backup"]).exits(1);
    host.run(&["backup", "b.backup", "--data-dir", "elsewhere"]).exits(1);
    // Nothing is left beside.
    let mut names: Vec<_> =
        fs::read_dir(host.place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.backup", "jotgate-data"]);
    assert_eq!(files(&host), ["jotgate.db", "master.key", "server.lock"]);
}

#[test]
fn what_is_encrypted_opens_with_its_own_secret_and_whole_only() {
    let mut host = Host::start();
    host.add("ann");
    host.place.write("backup.key", "a key of forty random characters or so..\n");
    host.place.write("other.key", "another key of forty random characters..\n");
    host.run(&["backup", "k.backup", "--key-file", "backup.key"]).exits(0);
    host.run_with_input(&["backup", "p.backup", "--passphrase-stdin"], "quite secret\n").exits(0);
    host.run(&["backup", "open.backup"]).exits(0);
    let folder = host.place.path().to_owned();
    let content = |name: &str| fs::read(folder.join(name)).unwrap();
    for (name, readable) in [("k.backup", false), ("p.backup", false), ("open.backup", true)] {
        let found = content(name).windows(13).any(|window| window == b"signing_keys ");
        assert_eq!(found, readable, "{name}");
    }
    host.place.write("short.key", "too short\n");
    host.run(&["backup", "s.backup", "--key-file", "short.key"]).exits(1);

    host.add("late");
    host.stop();
    let before = fs::read(database(&host)).unwrap();
    let damaged = |name: &str, change: fn(Vec<u8>) -> Vec<u8>| {
        let bytes = change(content(name));
        let damaged = format!("damaged-{name}");
        fs::write(host.place.path().join(&damaged), bytes).unwrap();
        damaged
    };
    fn flip(mut bytes: Vec<u8>) -> Vec<u8> {
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
        bytes
    }
    fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() * 2 / 3);
        bytes
    }
    let refuse = |arguments: &[&str], input: &str, why: &str| {
        let run = host.run_with_input(&[&["restore", "--yes"], arguments].concat(), input).exits(1);
        assert!(run.err.contains(why), "{arguments:?}: {}", run.err);
        assert_eq!(fs::read(database(&host)).unwrap(), before, "{arguments:?}");
        assert_eq!(files(&host), ["jotgate.db", "master.key", "server.lock"], "{arguments:?}");
    };
    refuse(&["k.backup"], "", "--key-file");
    refuse(&["k.backup", "--key-file", "other.key"], "", "not the right one");
    refuse(&["k.backup", "--passphrase-stdin"], "quite secret\n", "--key-file");
    refuse(&["p.backup"], "", "passphrase");
    refuse(&["p.backup", "--passphrase-stdin"], "not so secret\n", "not the right one");
    refuse(&["open.backup", "--key-file", "backup.key"], "", "not encrypted");
    refuse(&[&damaged("k.backup", flip), "--key-file", "backup.key"], "", "damaged");
    refuse(&[&damaged("k.backup", cut), "--key-file", "backup.key"], "", "cut short");
    refuse(&[&damaged("open.backup", flip)], "", "damaged");
    refuse(&[&damaged("open.backup", cut)], "", "cut short");
    host.place.write("letter.txt", "Dear Sir or Madam,\n");
    refuse(&["letter.txt"], "", "neither a backup");
    refuse(&["missing.backup"], "", "missing.backup");

    host.run(&["restore", "--yes", "k.backup", "--key-file", "backup.key"]).exits(0);
    assert_eq!(host.users(), ["ann"]);
    host.run_with_input(&["restore", "--yes", "p.backup", "--passphrase-stdin"], "quite secret\n").exits(0);
    assert_eq!(host.users(), ["ann"]);
    host.start_again(&[]);
    host.login("ann");
}

#[test]
fn what_a_killed_server_left_in_its_log_stays_with_the_old_database() {
    let mut host = Host::start();
    host.add("ann");
    host.run(&["backup", "a.backup"]).exits(0);
    host.add("late");
    host.login("late");
    host.kill();
    assert!(database(&host).with_extension("db-wal").metadata().unwrap().len() > 0, "there is a log");
    let done = host.run(&["restore", "a.backup", "--yes", "--json"]).exits(0).json();
    assert_eq!(done["undone"]["users_made"], 1);
    assert_eq!(host.users(), ["ann"]);
    // The kept one has all of it, and can be put back.
    let kept = host.place.path().join(done["kept"].as_str().unwrap());
    host.run(&["restore", kept.to_str().unwrap(), "--yes"]).exits(0);
    assert_eq!(host.users(), ["ann", "late"]);
    host.start_again(&[]);
    host.login("late");
}

#[test]
fn sessions_can_be_ended_with_it_and_a_lost_master_key_is_no_dead_end() {
    let mut host = Host::start();
    host.add("ann");
    let ann = host.login("ann");
    host.run(&["backup", "a.backup"]).exits(0);
    host.stop();
    let run = host.run(&["restore", "a.backup", "--yes", "--end-sessions"]).exits(0);
    assert!(run.out.contains("everybody signs in again"), "{}", run.out);
    host.start_again(&[]);
    assert_eq!((host.verify(&ann.access), host.refresh(&ann.refresh).0), (401, 401));
    let ann = host.login("ann");

    // With the key in place it is not lost; with another one, or none, the backup says so before anything happens.
    host.run(&["backup", "b.backup"]).exits(0);
    host.stop();
    let master = host.place.path().join("jotgate-data/master.key");
    let run = host.run(&["restore", "b.backup", "--yes", "--lost-master-key"]).exits(1);
    assert!(run.err.contains("leave --lost-master-key out"), "{}", run.err);
    let key = fs::read(&master).unwrap();
    fs::write(&master, format!("{}\n", URL_SAFE_NO_PAD.encode([7; 32]))).unwrap();
    let run = host.run(&["restore", "b.backup", "--yes"]).exits(1);
    assert!(run.err.contains("master.key that belongs"), "{}", run.err);
    fs::remove_file(&master).unwrap();
    let run = host.run(&["restore", "b.backup", "--yes"]).exits(1);
    assert!(run.err.contains("--lost-master-key"), "{}", run.err);
    host.run(&["restore", "b.backup", "--yes", "--lost-master-key"]).exits(0);
    host.start_again(&[]);
    assert_ne!(fs::read(&master).unwrap(), key, "a new one");
    assert_eq!((host.verify(&ann.access), host.refresh(&ann.refresh).0), (401, 401));
    host.login("ann");
}

#[test]
fn killed_at_any_moment_a_restore_leaves_the_old_database_or_the_new_one() {
    let mut host = Host::start();
    host.add("before");
    host.run(&["backup", "a.backup"]).exits(0);
    host.add("after");
    // So that it is told by what is in the log, too.
    host.login("after");
    host.kill();
    let data = host.place.path().join("jotgate-data");
    let saved: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    let (mut old, mut new) = (0, 0);
    // How long one takes is found by doubling; then moments are taken all over it.
    let begun = Instant::now();
    host.run(&["restore", "a.backup", "--yes"]).exits(0);
    let whole = begun.elapsed();
    for n in 0..24 {
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir(&data).unwrap();
        for (path, bytes) in &saved {
            fs::write(path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let mut command = host.place.command(&["restore", "a.backup", "--yes"]);
        command.env(HASH.0, HASH.1).stdout(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(whole * n / 22);
        let _ = child.kill();
        child.wait().unwrap();
        match host.users().iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["after", "before"] => old += 1,
            ["before"] => new += 1,
            ref users => panic!("{n}: {users:?}"),
        }
        if n % 6 == 5 {
            host.start_again(&[]);
            host.login("before");
            host.kill();
        }
    }
    assert!(old > 0, "all {new} were finished before they were killed");
    // Whatever was left behind is no hindrance, and goes with the next one.
    host.run(&["restore", "a.backup", "--yes"]).exits(0);
    assert_eq!(host.users(), ["before"]);
    assert!(files(&host).iter().all(|name| !name.contains("restoring")), "{:?}", files(&host));
}
