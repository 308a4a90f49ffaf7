//! Resource servers in five languages: each takes the same tokens, refuses the same ones, and refuses within a second
//! who logged out. `docs/resource-servers.md` shows them, and the table that is measured here.

mod documented;
mod fleet;
mod forger;
mod hostile;
mod units;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::Server;
use serde_json::json;

use fleet::{Fleet, Member};

const PASSWORD: &str = "four unrelated words";
/// The promise where the feed is followed.
const BOUND: Duration = Duration::from_secs(1);
/// Seconds without news that these programs bear.
const STALE_AFTER: u64 = 8;
/// A machine that stands still for a second is no broken promise; three times in a row it is.
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn five_languages_refuse_who_logged_out() {
    let mut server = Server::start();
    for (name, role) in [("ada", "editor"), ("bob", "reader")] {
        let added =
            server.command_with_input(["user", "add", name, "--role", role, "--password-stdin"], PASSWORD);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
    let fleet = Fleet::start(server.url(), server.url(), STALE_AFTER);
    fleet.wait("fresh", PATIENCE, |member| says(member, "fresh"));
    let (ada, bob) = (login(&server, "ada"), login(&server, "bob"));
    for member in &fleet.members {
        judge(member, &ada, &bob);
    }
    fleet.wait("streaming", PATIENCE, |member| says(member, "streaming"));

    let mut best = measure(&server, &fleet);
    for _ in 1..TRIES {
        if best.iter().all(|took| *took < BOUND) {
            break;
        }
        best = measure(&server, &fleet);
    }
    let cut = cut_off(&mut server, &fleet, &ada, &bob);
    let mut table = "| language | refuses after a logout | says 503 after the server is gone | catches up after it is back |\n\
                     |---|---|---|---|\n"
        .to_owned();
    for (at, member) in fleet.members.iter().enumerate() {
        let seconds =
            [best[at], cut.stale[at], cut.back[at]].map(|took| format!("{:.3} s", took.as_secs_f64()));
        let _ = writeln!(table, "| {} | {} |", member.language, seconds.join(" | "));
    }
    let _ = writeln!(std::io::stderr(), "{table}");
    for (member, took) in fleet.members.iter().zip(&best) {
        assert!(*took < BOUND, "{} took {took:?}\n{table}", member.language);
    }
    documented::check_table(&table);
}

/// Whoever has no reason to trust the issuer's certificate learns nothing from it, and so lets nobody in.
#[test]
fn five_languages_believe_no_certificate_of_their_own_accord() {
    let server = Server::with().tls().start();
    let (issuer, certificate) = (server.url(), server.folder().join("tls.crt"));
    let certificate = certificate.to_str().unwrap().to_owned();
    let store = server.folder().join("trust.p12");
    let java =
        format!("-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword=changeit", store.display());
    // Where Java is left out, its tool is missing too.
    let _ = Command::new("keytool")
        .args([
            "-importcert",
            "-noprompt",
            "-alias",
            "jotgate",
            "-storepass",
            "changeit",
            "-storetype",
            "PKCS12",
        ])
        .args(["-file", &certificate, "-keystore"])
        .arg(&store)
        .output();
    let trust = [
        ("NODE_EXTRA_CA_CERTS", certificate.clone()),
        ("SSL_CERT_FILE", certificate),
        ("JAVA_TOOL_OPTIONS", java),
    ];
    let strangers = Fleet::spawn(issuer, issuer, 60, &[]);
    let mut friends = Fleet::spawn(issuer, issuer, 60, &trust);
    friends.ready();
    friends.wait("fresh", PATIENCE, |member| says(member, "fresh"));
    for member in &strangers.members {
        assert!(!says(member, "fresh"), "{}: {:?}\n{}", member.language, member.health(), member.said());
    }
}

fn says(member: &Member, what: &str) -> bool {
    member.health().is_some_and(|health| health[what] == true)
}

fn login(server: &Server, name: &str) -> String {
    let form = json!({"username": name, "password": PASSWORD});
    server.client().post("/auth/login").json(&form).send().is(200).member("access_token")
}

/// The same answers in every language.
fn judge(member: &Member, ada: &str, bob: &str) {
    let answer = |method: &str, authorization: Option<&str>| {
        let (status, challenge) = member.ask(method, authorization);
        (status, challenge.contains("error=\"invalid_token\""), challenge.starts_with("Bearer"))
    };
    let language = member.language;
    assert_eq!(answer("GET", Some(&format!("Bearer {bob}"))).0, 200, "{language}\n{}", member.said());
    assert_eq!(answer("DELETE", Some(&format!("Bearer {ada}"))).0, 200, "{language}");
    assert_eq!(answer("DELETE", Some(&format!("Bearer {bob}"))).0, 403, "{language}");
    assert_eq!(answer("GET", None), (401, false, true), "{language}");
    let tampered = format!("{}A{}", &bob[..bob.len() - 10], &bob[bob.len() - 9..]);
    assert_eq!(answer("GET", Some(&format!("Bearer {tampered}"))), (401, true, true), "{language}");
}

/// Logs out once; how long each went on saying yes, from before the request.
fn measure(server: &Server, fleet: &Fleet) -> Vec<Duration> {
    let token = login(server, "bob");
    for member in &fleet.members {
        assert_eq!(member.reads(&token), 200, "{}", member.language);
    }
    std::thread::scope(|scope| {
        // All are being asked when it happens.
        let refused = scope.spawn(|| fleet.wait("refusing", PATIENCE, |member| member.reads(&token) == 401));
        std::thread::sleep(Duration::from_millis(100));
        let begin = Instant::now();
        server.client().post("/auth/logout").bearer(&token).send().expect(204);
        since(begin, refused.join().unwrap())
    })
}

fn since(begin: Instant, all: Vec<Instant>) -> Vec<Duration> {
    all.into_iter().map(|at| at.saturating_duration_since(begin)).collect()
}

struct Cut {
    stale: Vec<Duration>,
    back: Vec<Duration>,
}

/// The server dies; meanwhile a session is ended; it comes back as another log.
fn cut_off(server: &mut Server, fleet: &Fleet, ada: &str, bob: &str) -> Cut {
    let begin = Instant::now();
    server.kill_9();
    for member in &fleet.members {
        assert_eq!(member.reads(ada), 200, "{}: nobody is asked", member.language);
    }
    let limit = Duration::from_secs(STALE_AFTER + 3);
    let stale = since(begin, fleet.wait("stale", limit, |member| member.reads(ada) == 503));
    let ended = server.command(["session", "revoke", "--user", "bob"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let begin = Instant::now();
    server.start_again();
    let back = since(begin, fleet.wait("fresh again", PATIENCE, |member| member.reads(ada) == 200));
    for member in &fleet.members {
        assert_eq!(member.reads(bob), 401, "{}: ended while it was cut off", member.language);
    }
    Cut { stale, back }
}
