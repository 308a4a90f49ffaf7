//! What each release wrote is opened by this program, and goes on where it was: `tests/fixtures/VERSION/` has a filled
//! database of each, its master key, and what its clients hold.
//!
//! A release adds its own, once: `UPDATE=1 cargo test -p jotgate --test lifetime released`. It is never made again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jotgate::app::App;
use jotgate::edge::{Edge, Source as _};
use jotgate_domain::audit::Action;
use jotgate_domain::store::AuditQuery;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Fixed, Site, config, http_origin};

const FILES: [&str; 3] = ["jotgate.db", "master.key", "clients.json"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Fills a database with a row of each kind, and keeps what its clients hold.
async fn make(folder: &Path) {
    let site = Site::new().await;
    let ada = site.signed_in("ada").await;
    let other = site.login("ada").await.tokens();
    let ended = site.login("ada").await.tokens();
    let bob = site.signed_in("bob").await;
    let logout = site.ask(Method::POST, "/auth/logout").bearer(&ended.access).send().await;
    assert_eq!(logout.status, 204);
    site.clock.pass(Duration::from_secs(20));
    let ada_now = site.refresh(&ada.refresh).await.tokens();
    let wrong = json!({"username": "bob", "password": "not that of bob"});
    assert_eq!(site.post("/auth/login", &wrong).send().await.status, 401);
    fs::create_dir_all(folder).unwrap();
    let clients = json!({
        "seconds_after_start": 20,
        "spent_refresh": ada.refresh,
        "access": ada_now.access,
        "refresh": ada_now.refresh,
        "unused_refresh": other.refresh,
        "another_refresh": bob.refresh,
        "ended_access": ended.access,
        "ended_refresh": ended.refresh,
    });
    fs::write(folder.join(FILES[2]), format!("{clients:#}\n")).unwrap();
    fs::copy(site.dir.path().join(FILES[1]), folder.join(FILES[1])).unwrap();
    let database = Connection::open(site.dir.path().join(FILES[0])).unwrap();
    database.execute("VACUUM INTO ?1", [folder.join(FILES[0]).to_str().unwrap()]).unwrap();
}

/// A copy of a release's database, opened by this program.
async fn open(folder: &Path) -> (Site, BTreeMap<String, Value>) {
    let dir = TempDir::new().unwrap();
    for name in FILES {
        fs::copy(folder.join(name), dir.path().join(name)).unwrap();
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let clients: BTreeMap<String, Value> =
        serde_json::from_slice(&fs::read(dir.path().join(FILES[2])).unwrap()).unwrap();
    let clock = Fixed::new();
    clock.pass(Duration::from_secs(clients["seconds_after_start"].as_u64().unwrap()));
    // Other numbers than were drawn for the fixture.
    clock.fill(&mut vec![0; 1 << 20]).unwrap();
    let mut config = config(&dir);
    config.registration_enabled = Some(true);
    let app = App::open(config.clone(), http_origin(), Edge::new(clock.clone())).await.unwrap();
    (Site::over(app, Arc::new(dir), config, http_origin(), clock), clients)
}

#[tokio::test]
async fn the_database_of_every_release_goes_on_in_this_one() {
    let this = fixtures().join(env!("CARGO_PKG_VERSION"));
    if std::env::var_os("UPDATE").is_some() && !this.exists() {
        make(&this).await;
    }
    let mut seen = 0;
    for folder in fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.join(FILES[0]).exists() {
            continue;
        }
        seen += 1;
        println!("{}", folder.display());
        let (site, clients) = open(&folder).await;
        let held = |name: &str| clients[name].as_str().unwrap().to_owned();
        assert_eq!(site.me(&held("access")).await.status, 200);
        let verify = site.get("/auth/verify").bearer(&held("access")).send().await;
        assert_eq!((verify.status, verify.header("x-auth-username")), (200, Some("ada")));
        let ended = site.me(&held("ended_access")).await;
        assert_eq!((ended.status, ended.code().as_str()), (401, "revoked"));
        assert_eq!(site.refresh(&held("ended_refresh")).await.code(), "invalid_refresh_token");

        site.clock.pass(Duration::from_secs(60));
        for name in ["refresh", "unused_refresh", "another_refresh"] {
            let next = site.refresh(&held(name)).await.tokens();
            assert_eq!(site.me(&next.access).await.status, 200, "{name}");
        }
        site.clock.pass(Duration::from_secs(60));
        assert_eq!(site.refresh(&held("spent_refresh")).await.code(), "refresh_token_reused");
        for name in ["ada", "bob"] {
            let signed_in = site.login(name).await.tokens();
            assert_eq!(site.me(&signed_in.access).await.status, 200, "{name}");
        }
        site.signed_in("carol").await;
        let query = AuditQuery { action: Some(Action::LoginFailed), limit: 10, ..AuditQuery::default() };
        assert_eq!(site.server.app().store.audit(query).await.unwrap().len(), 1);
    }
    assert!(seen > 0, "no release has a fixture");
}

/// A program in use has what a migration once made: what was released is never edited, only followed by another.
#[test]
fn a_released_migration_never_changes() {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
    for folder in fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(database) =
            Connection::open_with_flags(folder.join(FILES[0]), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        else {
            continue;
        };
        let mut applied = database.prepare("SELECT name, checksum FROM migrations").unwrap();
        let applied = applied.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)));
        for (name, checksum) in applied.unwrap().map(Result::unwrap) {
            let file = migrations.join(format!("{name}.sql"));
            let sql = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let now = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &sql);
            assert_eq!(
                now.as_ref(),
                checksum,
                "{name} is in {}: put it back as it was, and add another migration",
                folder.display()
            );
        }
    }
}
