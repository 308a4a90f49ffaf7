//! The one contract of revocation: whatever revokes, everywhere where a token is judged, within the stated bound.
//! The table that comes of it is printed, and `docs/revocation.md` shows one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::{Client, Server};
use jotgate_domain::audit::{Action, Revokes};
use serde_json::{Value, json};

use super::judge::Judge;

const PASSWORD: &str = "four unrelated words";
/// Where the server answers itself, and where the feed is followed.
const BOUND: Duration = Duration::from_secs(1);
/// `status_list.ttl` and `jwks.max_age` in this test: the bound of whoever only polls.
const POLLED_BOUND: Duration = Duration::from_secs(4);
/// What asking everybody in turn may take on a busy machine.
const ASKING: Duration = Duration::from_millis(500);
/// A machine that stands still for a second is no broken promise; three times in a row it is.
const TRIES: u32 = 3;

/// What revokes, with its audit actions.
struct Trigger {
    name: &'static str,
    actions: &'static [Action],
    /// What becomes of the session whose tokens are judged.
    session: Session,
    pull: fn(&mut Case<'_>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Session {
    Ends,
    /// Its refresh token gives tokens that are good.
    GoesOn,
    /// It was given a new refresh token in the answer to the trigger.
    Renewed,
}

const TRIGGERS: &[Trigger] = &[
    Trigger {
        name: "logout",
        actions: &[Action::LoggedOut],
        session: Session::Ends,
        pull: |case| case.post("/auth/logout", &json!({}), 204),
    },
    Trigger {
        name: "logout everywhere",
        actions: &[Action::LoggedOut],
        session: Session::Ends,
        pull: |case| {
            let other = case.login();
            case.post_as(&other, "/auth/logout", &json!({"all": true}), 204);
        },
    },
    Trigger {
        name: "session ended by its user",
        actions: &[Action::SessionRevoked],
        session: Session::Ends,
        pull: |case| {
            let (other, id) = (case.login(), case.session_id());
            case.delete_as(&other, &format!("/auth/sessions/{id}"));
        },
    },
    Trigger {
        name: "all other sessions ended by their user",
        actions: &[Action::SessionRevoked],
        session: Session::Ends,
        pull: |case| {
            let other = case.login();
            case.delete_as(&other, "/auth/sessions");
        },
    },
    Trigger {
        name: "session ended by an operator",
        actions: &[Action::SessionRevoked],
        session: Session::Ends,
        pull: |case| {
            let id = case.session_id();
            case.command(&["session", "revoke", &id]);
        },
    },
    Trigger {
        name: "all sessions of a user ended by an operator",
        actions: &[Action::SessionRevoked],
        session: Session::Ends,
        pull: |case| case.command(&["session", "revoke", "--user", &case.user.clone()]),
    },
    Trigger {
        name: "oldest of too many sessions",
        actions: &[Action::SessionDisplaced],
        session: Session::Ends,
        pull: |case| {
            for _ in 0..3 {
                case.login();
            }
        },
    },
    Trigger {
        name: "spent refresh token used again (theft)",
        actions: &[Action::RefreshReused],
        session: Session::Ends,
        pull: |case| {
            let spent = case.refresh_token();
            let next = case.refresh(&spent).expect("a successor");
            case.refresh(next["refresh_token"].as_str().unwrap()).expect("a successor");
            // These are judged: the newest that the session has.
            assert!(case.refresh(&spent).is_none(), "it was spent");
        },
    },
    Trigger {
        name: "password changed: the other sessions",
        actions: &[Action::PasswordChanged],
        session: Session::Ends,
        pull: |case| {
            let other = case.login();
            let change = json!({"current_password": PASSWORD, "new_password": "five other words it is"});
            case.post_as(&other, "/auth/password/change", &change, 200);
        },
    },
    Trigger {
        name: "password changed: this session's earlier tokens",
        actions: &[Action::PasswordChanged],
        session: Session::Renewed,
        pull: |case| {
            let change = json!({"current_password": PASSWORD, "new_password": "five other words it is"});
            case.post("/auth/password/change", &change, 200);
        },
    },
    Trigger {
        name: "password set by an operator",
        actions: &[Action::PasswordChanged],
        session: Session::Ends,
        pull: |case| {
            let arguments = ["user", "set-password", &case.user, "--password-stdin"];
            let done = case.server.command_with_input(arguments, "five other words it is");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        },
    },
    Trigger {
        name: "user disabled",
        actions: &[Action::UserDisabled],
        session: Session::Ends,
        pull: |case| case.command(&["user", "disable", &case.user.clone()]),
    },
    Trigger {
        name: "user deleted",
        actions: &[Action::UserDeleted],
        session: Session::Ends,
        pull: |case| case.command(&["user", "delete", "--yes", &case.user.clone()]),
    },
    Trigger {
        name: "access token revoked by its client",
        actions: &[Action::TokenRevoked],
        session: Session::GoesOn,
        pull: |case| case.revoke("access_token"),
    },
    Trigger {
        name: "refresh token revoked by its client",
        actions: &[Action::SessionRevoked],
        session: Session::Ends,
        pull: |case| case.revoke("refresh_token"),
    },
    Trigger {
        name: "role removed",
        actions: &[Action::RoleRevoked],
        session: Session::GoesOn,
        pull: |case| case.command(&["user", "revoke", &case.user.clone(), "editor"]),
    },
    Trigger {
        name: "custom claim changed",
        actions: &[Action::UserChanged],
        session: Session::GoesOn,
        pull: |case| case.command(&["user", "set-claim", &case.user.clone(), "plan=\"free\""]),
    },
    Trigger {
        name: "permission taken from a role (restart)",
        actions: &[Action::RoleReduced],
        session: Session::GoesOn,
        pull: |case| {
            case.server.terminate();
            write_config(case.server, &["read"]);
            case.server.start_again();
        },
    },
    Trigger {
        name: "signing key revoked in an emergency",
        actions: &[Action::KeyRevoked],
        session: Session::GoesOn,
        pull: |case| case.command(&["key", "rotate", "--emergency"]),
    },
    Trigger {
        name: "database restored from a backup (restart)",
        actions: &[Action::DatabaseRestored],
        session: Session::GoesOn,
        pull: |case| {
            case.command(&["backup", "--force", "contract.backup"]);
            case.server.terminate();
            case.command(&["restore", "--yes", "contract.backup"]);
            case.server.start_again();
        },
    },
];

/// Who judges a token.
const PLACES: [&str; 8] = [
    "Bearer",
    "cookie",
    "`/auth/me`",
    "`/auth/verify`",
    "refresh",
    "introspection",
    "follows the feed",
    "polls the list",
];
/// The place of refresh among them, and of whoever only polls.
const REFRESH: usize = 4;
const POLLS: usize = 7;

#[test]
fn every_trigger_is_a_row() {
    for (action, name) in Action::ALL {
        let rows = TRIGGERS.iter().filter(|trigger| trigger.actions.contains(action)).count();
        // No session is granted to a client yet. That those end with it is tested where one can be made
        // (`a98_a_deleted_client_is_nobody_and_its_sessions_end`).
        let expected = action.revokes() != Revokes::Nothing && *action != Action::ClientDeleted;
        assert_eq!(rows > 0, expected, "{name}: what revokes has a row in TRIGGERS, and nothing else");
    }
}

#[test]
fn whatever_revokes_is_seen_everywhere() {
    let mut server = Server::with()
        .env("JOTGATE_REFRESH_GRACE", "0s")
        .env("JOTGATE_SESSION_MAX_PER_USER", "3")
        .env("JOTGATE_STATUS_LIST_TTL", &format!("{}s", POLLED_BOUND.as_secs()))
        .env("JOTGATE_JWKS_MAX_AGE", &format!("{}s", POLLED_BOUND.as_secs()))
        .config(&config(&["read", "write"]))
        .start();
    let (follower, poller) = (Judge::follower(&server), Judge::script("status-list.mjs", &[server.url()]));
    let mut table = Vec::new();
    for (number, trigger) in TRIGGERS.iter().enumerate() {
        let mut row = Vec::new();
        for attempt in 1..=TRIES {
            let user = format!("user-{number}-{attempt}");
            row = measure(trigger, &mut Case::new(&mut server, user), &follower, &poller);
            let late =
                (0..PLACES.len()).find(|place| row[*place].is_some_and(|took| took > bound(*place) + ASKING));
            match late {
                None => break,
                Some(place) if attempt == TRIES => {
                    panic!("{}: {} took {:?}", trigger.name, PLACES[place], row[place]);
                }
                // What was restarted with less cannot lose it again.
                Some(_) if trigger.actions.contains(&Action::RoleReduced) => {
                    server.terminate();
                    write_config(&server, &["read", "write"]);
                    server.start_again();
                }
                Some(_) => {}
            }
        }
        table.push((trigger.name, row));
    }
    let table = written(&table);
    // Shown with `--nocapture`, and by `cargo xtask test`.
    let _ = writeln!(std::io::stderr(), "{table}");
    check_documents(&table);
}

fn bound(place: usize) -> Duration {
    if place == POLLS { POLLED_BOUND } else { BOUND }
}

/// Pulls the trigger, and asks everybody until all refuse: how long each took, none where it does not apply.
fn measure(
    trigger: &Trigger,
    case: &mut Case<'_>,
    follower: &Judge,
    poller: &Judge,
) -> Vec<Option<Duration>> {
    assert!(case.refused_by(follower, poller, 0..PLACES.len()).is_empty(), "{}: good at first", trigger.name);
    (trigger.pull)(case);
    let begin = Instant::now();
    let mut took = vec![None; PLACES.len()];
    let mut open: Vec<usize> = (0..PLACES.len()).collect();
    if trigger.session != Session::Ends {
        open.retain(|place| *place != REFRESH);
    }
    let slow: Vec<usize> = open.iter().copied().filter(|place| *place == POLLS).collect();
    open.retain(|place| *place != POLLS);
    for mut left in [open, slow] {
        while !left.is_empty() {
            let refused = case.refused_by(follower, poller, left.iter().copied());
            let now = begin.elapsed();
            refused.iter().for_each(|place| took[*place] = Some(now));
            left.retain(|place| !refused.contains(place));
            assert!(now < POLLED_BOUND * 5, "{}: never refused by {left:?}", trigger.name);
        }
    }
    // Once refused, refused for good.
    let all: Vec<usize> = (0..PLACES.len()).filter(|place| took[*place].is_some()).collect();
    assert_eq!(case.refused_by(follower, poller, all.iter().copied()), all, "{}", trigger.name);
    match trigger.session {
        Session::Ends => {}
        Session::GoesOn => {
            let token = case.refresh_token();
            let renewed = case.refresh(&token).expect("the session goes on");
            let me = case.me(renewed["access_token"].as_str().unwrap());
            assert_eq!(me["claims"]["sid"], case.tokens["session_id"], "{}", trigger.name);
            match trigger.name {
                "role removed" => assert_eq!(me["claims"]["roles"], json!([])),
                "permission taken from a role (restart)" => {
                    assert_eq!(me["claims"]["permissions"], json!(["read"]));
                }
                "custom claim changed" => assert_eq!(me["claims"]["plan"], json!("free")),
                _ => {}
            }
        }
        Session::Renewed => {
            let newest = case.newest["access_token"].as_str().unwrap().to_owned();
            case.me(&newest);
        }
    }
    took
}

/// A user with a session whose tokens are judged.
struct Case<'a> {
    server: &'a mut Server,
    client: Client,
    user: String,
    /// As the login answered; the access token is of its newest refresh.
    tokens: Value,
    /// The last answer with tokens.
    newest: Value,
    /// Id and secret of a resource server.
    introspector: (String, String),
}

impl<'a> Case<'a> {
    fn new(server: &'a mut Server, user: String) -> Self {
        let added = server
            .command_with_input(["user", "add", &user, "--role", "editor", "--password-stdin"], PASSWORD);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let claimed = server.command(["user", "set-claim", &user, "plan=\"full\""]);
        assert!(claimed.status.success(), "{}", String::from_utf8_lossy(&claimed.stderr));
        let client = server.client();
        let introspector = introspector(server);
        let mut case = Self { server, client, user, tokens: Value::Null, newest: Value::Null, introspector };
        case.tokens = case.login();
        case
    }

    fn login(&mut self) -> Value {
        let login = json!({"username": self.user, "password": PASSWORD});
        self.client.post("/auth/login").json(&login).send().is(200).json()
    }

    fn session_id(&self) -> String {
        self.tokens["session_id"].as_str().unwrap().to_owned()
    }

    fn refresh_token(&self) -> String {
        self.tokens["refresh_token"].as_str().unwrap().to_owned()
    }

    /// The answer to a refresh, whose access token is judged from now on; none where it was refused.
    fn refresh(&mut self, token: &str) -> Option<Value> {
        let response = self.client.post("/auth/refresh").json(&json!({"refresh_token": token})).send();
        if response.status == 401 {
            return None;
        }
        let answer = response.is(200).json();
        self.tokens["access_token"] = answer["access_token"].clone();
        self.tokens["refresh_token"] = answer["refresh_token"].clone();
        Some(answer)
    }

    fn me(&mut self, access: &str) -> Value {
        self.client.get("/auth/me").bearer(access).send().is(200).json()
    }

    fn post(&mut self, target: &str, body: &Value, status: u16) {
        let tokens = self.tokens.clone();
        self.post_as(&tokens, target, body, status);
    }

    fn post_as(&mut self, tokens: &Value, target: &str, body: &Value, status: u16) {
        let access = tokens["access_token"].as_str().unwrap();
        let response = self.client.post(target).bearer(access).json(body).send().is(status);
        if status == 200 {
            self.newest = response.json();
        }
    }

    fn delete_as(&mut self, tokens: &Value, target: &str) {
        self.client.delete(target).bearer(tokens["access_token"].as_str().unwrap()).send().expect(204);
    }

    fn command(&mut self, arguments: &[&str]) {
        let done = self.server.command(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// As the client that has the token.
    fn revoke(&mut self, kind: &str) {
        let token = self.tokens[kind].as_str().unwrap();
        self.client
            .post("/oauth/revoke")
            .form(&[("client_id", "jotgate"), ("token", token)])
            .send()
            .expect(200);
    }

    /// As a resource server is told.
    fn is_active(&mut self, access: &str) -> bool {
        let (id, secret) = &self.introspector;
        let form = [("client_id", id.as_str()), ("client_secret", secret), ("token", access)];
        self.client.post("/oauth/introspect").form(&form).send().is(200).json()["active"] == true
    }

    /// Those of `places` that refuse this session's tokens now.
    fn refused_by(
        &mut self,
        follower: &Judge,
        poller: &Judge,
        places: impl IntoIterator<Item = usize>,
    ) -> Vec<usize> {
        let access = self.tokens["access_token"].as_str().unwrap().to_owned();
        let cookie = format!("jwt={access}");
        places
            .into_iter()
            .filter(|place| {
                let (target, name, value) = match place {
                    0 => ("/auth/sessions", "Authorization", format!("Bearer {access}")),
                    1 => ("/auth/me", "Cookie", cookie.clone()),
                    2 => ("/auth/me", "Authorization", format!("Bearer {access}")),
                    3 => ("/auth/verify", "Authorization", format!("Bearer {access}")),
                    &REFRESH => {
                        let before = self.tokens.clone();
                        let refused = self.refresh(before["refresh_token"].as_str().unwrap()).is_none();
                        // A token that was renewed by this question is the one to ask about.
                        return refused;
                    }
                    5 => return !self.is_active(&access),
                    6 => return follower.refuses(&access),
                    _ => return poller.refuses(&access),
                };
                let response = self.client.get(target).header(name, &value).send();
                assert!(matches!(response.status, 200 | 401), "{target}: {}", response.status);
                response.status == 401
            })
            .collect()
    }
}

/// A new client that may introspect what this server issues.
fn introspector(server: &Server) -> (String, String) {
    let added = server.command(["client", "add", "resource server", "--audience", server.url(), "--json"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    let text = |name: &str| added[name].as_str().unwrap().to_owned();
    (text("client_id"), text("client_secret"))
}

fn config(editor: &[&str]) -> String {
    format!("[roles.editor]\npermissions = {editor:?}\n")
}

fn write_config(server: &Server, editor: &[&str]) {
    std::fs::write(server.folder().join("jotgate.toml"), config(editor)).unwrap();
}

/// The table in Markdown, with the seconds after which each place refused.
fn written(rows: &[(&str, Vec<Option<Duration>>)]) -> String {
    let mut text =
        format!("| seconds after | {} |\n|---|{}\n", PLACES.join(" | "), "---|".repeat(PLACES.len()));
    let worst: Vec<Option<Duration>> =
        (0..PLACES.len()).map(|place| rows.iter().filter_map(|(_, row)| row[place]).max()).collect();
    for (name, row) in rows.iter().map(|(name, row)| (*name, row)).chain([("**worst**", &worst)]) {
        let cell =
            |took: &Option<Duration>| took.map_or("new token".into(), |t| format!("{:.3}", t.as_secs_f64()));
        let _ = writeln!(text, "| {name} | {} |", row.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    text
}

/// The documented table has these rows and places; `UPDATE=1` writes this run's.
fn check_documents(table: &str) {
    const BEGIN: &str = "<!-- measured by e2e/tests/end_to_end/revocation.rs; UPDATE=1 writes it anew -->\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/revocation.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the place of the table");
    let end = rest.find("\n\n").map_or(rest.len(), |at| at + 1);
    let (documented, after) = rest.split_at(end);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{after}")).unwrap();
        return;
    }
    // All but the figures, and which cells have one.
    let shape = |table: &str| -> Vec<Vec<String>> {
        let cell =
            |cell: &str| if cell.trim().parse::<f64>().is_ok() { "0".into() } else { cell.trim().into() };
        table.lines().map(|line| line.split('|').map(cell).collect()).collect()
    };
    assert_eq!(shape(documented), shape(table), "run this test with UPDATE=1");
    for figure in
        documented.lines().last().unwrap().split('|').filter_map(|cell| cell.trim().parse::<f64>().ok())
    {
        assert!(figure <= (POLLED_BOUND + ASKING).as_secs_f64(), "{figure}");
    }
}
