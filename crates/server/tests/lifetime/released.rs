//! What each release wrote is opened by this program, and goes on where it was: `tests/fixtures/VERSION/` has a filled
//! database of each, its master key, and what its clients hold.
//!
//! A release adds its own, once: `UPDATE=1 cargo test -p jotgate --test lifetime released`. It is never made again. In
//! `postgres/` below it is the same of PostgreSQL, as a dump.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jotgate::app::App;
use jotgate::config::DatabaseUrl;
use jotgate::edge::{Edge, Source as _};
use jotgate::store::Postgres;
use jotgate_domain::audit::Action;
use jotgate_domain::store::AuditQuery;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use testing::postgres::{self, Database};
use tokio::sync::OnceCell;

use crate::fixture::T0;
use crate::support::{Fixed, Site, config, http_origin};

const KEY: &str = "master.key";
const CLIENTS: &str = "clients.json";

/// Where a fixture's database is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// Of the fixture of a release.
    fn folder(self, release: &Path) -> PathBuf {
        match self {
            Self::Sqlite => release.to_owned(),
            Self::Postgres => release.join("postgres"),
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Sqlite => "jotgate.db",
            Self::Postgres => "dump.sql",
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The fixture of each release, with that of this one made where it is missing and asked for.
async fn fixtures_of(kind: Kind) -> Vec<PathBuf> {
    static MADE: [OnceCell<()>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
    let make = async || {
        let this = kind.folder(&fixtures().join(env!("CARGO_PKG_VERSION")));
        if std::env::var_os("UPDATE").is_some() && !this.join(kind.file()).exists() {
            make(&this, kind).await;
        }
    };
    MADE[kind as usize].get_or_init(make).await;
    let releases = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<PathBuf> =
        releases.filter(|path| path.is_dir()).map(|release| kind.folder(&release)).collect();
    assert!(!folders.is_empty(), "no release has a fixture");
    folders
}

fn at(database: &Database) -> DatabaseUrl {
    DatabaseUrl::Postgres(Box::new(database.url().parse().unwrap()))
}

/// Fills a database with a row of each kind, and keeps what its clients hold.
async fn make(folder: &Path, kind: Kind) {
    let database = matches!(kind, Kind::Postgres).then(postgres::database);
    let site = Site::with(http_origin(), |config| {
        if let Some(database) = &database {
            config.database_url = at(database);
        }
    })
    .await;
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
    fs::write(folder.join(CLIENTS), format!("{clients:#}\n")).unwrap();
    fs::copy(site.dir.path().join(KEY), folder.join(KEY)).unwrap();
    let file = folder.join(kind.file());
    match database {
        Some(database) => fs::write(file, database.dump()).unwrap(),
        None => {
            let database = Connection::open(site.dir.path().join(kind.file())).unwrap();
            database.execute("VACUUM INTO ?1", [file.to_str().unwrap()]).unwrap();
        }
    }
}

/// A copy of a release's database, opened by this program.
async fn open(folder: &Path, kind: Kind) -> (Site, BTreeMap<String, Value>) {
    let dir = TempDir::new().unwrap();
    let mut config = config(&dir);
    config.registration_enabled = Some(true);
    let mut files = vec![KEY, CLIENTS];
    match kind {
        Kind::Sqlite => files.push(kind.file()),
        Kind::Postgres => {
            let database = postgres::database();
            database.load(&folder.join(kind.file()));
            config.database_url = at(&database);
        }
    }
    for name in files {
        fs::copy(folder.join(name), dir.path().join(name)).unwrap();
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let clients: BTreeMap<String, Value> =
        serde_json::from_slice(&fs::read(dir.path().join(CLIENTS)).unwrap()).unwrap();
    let clock = Fixed::new();
    clock.pass(Duration::from_secs(clients["seconds_after_start"].as_u64().unwrap()));
    // Other numbers than were drawn for the fixture.
    clock.fill(&mut vec![0; 1 << 20]).unwrap();
    let app = App::open(config.clone(), http_origin(), Edge::new(clock.clone())).await.unwrap();
    (Site::over(app, Arc::new(dir), config, http_origin(), clock), clients)
}

#[tokio::test]
async fn the_database_of_every_release_goes_on_in_this_one() {
    every_release_goes_on(Kind::Sqlite).await;
}

#[tokio::test]
async fn the_postgresql_of_every_release_goes_on_in_this_one() {
    every_release_goes_on(Kind::Postgres).await;
}

async fn every_release_goes_on(kind: Kind) {
    for folder in fixtures_of(kind).await {
        println!("{}", folder.display());
        let (site, clients) = open(&folder, kind).await;
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
}

/// Name and checksum of the migrations that a fixture has had.
fn applied(folder: &Path, kind: Kind) -> Vec<(String, Vec<u8>)> {
    match kind {
        Kind::Sqlite => {
            let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
            let database = Connection::open_with_flags(folder.join(kind.file()), read_only).unwrap();
            let mut rows = database.prepare("SELECT name, checksum FROM migrations").unwrap();
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.map(Result::unwrap).collect()
        }
        Kind::Postgres => {
            let database = postgres::database();
            database.load(&folder.join(kind.file()));
            let rows = database.sql("SELECT name || ' ' || encode(checksum, 'hex') FROM jotgate_migrations");
            let row = |line: &str| {
                let (name, sum) = line.split_once(' ').unwrap();
                let byte = |at| u8::from_str_radix(&sum[at..at + 2], 16).unwrap();
                (name.to_owned(), (0..sum.len()).step_by(2).map(byte).collect())
            };
            rows.lines().map(row).collect()
        }
    }
}

/// A program in use has what a migration once made: what was released is never edited, only followed by another.
#[tokio::test]
async fn a_released_migration_never_changes() {
    for kind in Kind::ALL {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(match kind {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
        });
        for folder in fixtures_of(kind).await {
            never_changed(&migrations, &folder, kind);
        }
    }
}

fn never_changed(migrations: &Path, folder: &Path, kind: Kind) {
    let applied = applied(folder, kind);
    assert!(!applied.is_empty(), "{}", folder.display());
    for (name, checksum) in applied {
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

/// What a newer program has migrated is left as it is by this one, which says what to do: who goes back several versions
/// at once gets no answer made of guesses.
#[tokio::test]
async fn a_newer_programs_postgresql_is_refused() {
    let database = postgres::database();
    let url = database.url().parse().unwrap();
    drop(Postgres::open(&url, T0).await.unwrap());
    let known = database.sql("SELECT max(version) FROM jotgate_migrations");
    let found = known.parse::<u32>().unwrap() + 1;
    database.sql(&format!(
        "ALTER TABLE users ADD COLUMN newer text; INSERT INTO jotgate_migrations (version, name, checksum, \
         applied_at) VALUES ({found}, 'newer', sha256('newer'), 0)"
    ));
    let before = database.dump();
    let error = Postgres::open(&url, T0).await.unwrap_err();
    let said = error.to_string();
    let expected = format!(
        "was written by a newer jotgate (schema {found}, this program knows {known}). Run that version or a later \
         one, or restore a backup from before the upgrade"
    );
    assert!(said.contains(&expected), "{said}");
    assert_eq!(Postgres::pending(&url).await.unwrap_err().to_string(), said);
    assert_eq!(database.dump(), before, "nothing was written");
}
