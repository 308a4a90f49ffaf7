//! `jotgate audit`: when, who, what, which session, from where.

use std::collections::HashSet;
use std::collections::hash_map::{self, HashMap};
use std::time::Duration;

use clap::{Args, Subcommand};
use jotgate_domain::UserId;
use jotgate_domain::audit::{Action, Actor, Entry, Event};
use jotgate_domain::store::AuditQuery;
use serde::Serialize;

use super::error::{Failure, hint};
use super::operate;
use super::output::{self, BAD, DIM, WARN, clean, instant, paint, rfc3339};
use super::settings::Settings;
use super::table::{Cell, Table};
use crate::app::Operator;

/// How soon `--follow` shows what a server wrote.
const POLL: Duration = Duration::from_millis(200);
/// Entries that are read at once while following.
const PAGE: u32 = 1000;

/// Read the audit trail
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    List(List),
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(),
        }
    }
}

/// Print the newest entries of the audit trail, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate audit list
  jotgate audit list --user ada --action login.failed
  jotgate audit list --follow --json")]
pub(super) struct List {
    /// Go on printing what happens, until it is interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only what concerns this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only entries of this kind, such as login.failed
    #[arg(long, value_parser = action)]
    action: Option<Action>,
    /// Most entries to print at first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10000))]
    limit: u32,
    /// Print a JSON object an entry
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

fn action(text: &str) -> Result<Action, String> {
    Action::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Action::ALL.iter().map(|(_, name)| *name).collect();
        format!("there are {}", names.join(", "))
    })
}

#[derive(Serialize)]
struct EntryJson<'a> {
    id: i64,
    at: String,
    action: &'static str,
    /// `anonymous`, `operator`, `system`, or a user's id.
    actor: String,
    user_id: Option<String>,
    username: Option<&'a str>,
    session_id: Option<String>,
    address: &'a str,
    detail: &'a str,
}

impl List {
    fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let user = match &self.user {
                // One who was deleted is asked for by id.
                Some(who) => match who.parse::<UserId>() {
                    Ok(id) => Some(id),
                    Err(_) => Some(operator.user(who).await?.id),
                },
                None => None,
            };
            let query = |limit| AuditQuery { user, action: self.action, limit };
            let mut names = Names::default();
            // Before the first entries are read: what is written in between comes twice, and is printed once.
            let mut position = match self.follow {
                true => operator.audit_since(query(PAGE), None).await?.position,
                false => String::new(),
            };
            let first = operator.audit(query(self.limit)).await?;
            if first.is_empty() && !self.follow && !self.json {
                return output::say("There are no such entries.");
            }
            self.print(operator, &mut names, &first, true).await?;
            if !self.follow {
                return Ok(());
            }
            if first.is_empty() && !self.json {
                hint("nothing yet; waiting");
            }
            let printed: HashSet<i64> = first.iter().map(|entry| entry.id).collect();
            loop {
                let mut more = operator.audit_since(query(PAGE), Some(&position)).await?;
                position = more.position;
                let was_all = more.entries.len() < PAGE as usize;
                more.entries.retain(|entry| !printed.contains(&entry.id));
                self.print(operator, &mut names, &more.entries, false).await?;
                if was_all {
                    tokio::time::sleep(POLL).await;
                }
            }
        })
    }

    async fn print(
        &self,
        operator: &Operator,
        names: &mut Names,
        entries: &[Entry],
        first: bool,
    ) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            names.learn(operator, &entry.event).await?;
        }
        if self.json {
            let mut text = String::new();
            for entry in entries {
                text.push_str(&serde_json::to_string(&json(entry, names)).map_err(super::error::failed)?);
                text.push('\n');
            }
            return output::print(&text);
        }
        if self.follow {
            return output::print(&entries.iter().map(|entry| line(entry, names)).collect::<String>());
        }
        debug_assert!(first);
        let mut table = Table::new(&["WHEN", "WHAT", "USER", "BY", "FROM", "DETAIL"]);
        for Entry { event, .. } in entries {
            table.row([
                instant(event.at).into(),
                Cell::styled(style(event.action), event.action.name()),
                names.of(event.user).into(),
                names.actor(event).into(),
                (&event.address).into(),
                (&event.detail).into(),
            ]);
        }
        output::print(&table.render())
    }
}

fn json<'a>(entry: &'a Entry, names: &'a Names) -> EntryJson<'a> {
    let event = &entry.event;
    EntryJson {
        id: entry.id,
        at: rfc3339(event.at),
        action: event.action.name(),
        actor: match &event.actor {
            Actor::Anonymous => "anonymous".to_owned(),
            Actor::Operator => "operator".to_owned(),
            Actor::System => "system".to_owned(),
            Actor::User(id) => id.to_string(),
        },
        user_id: event.user.map(|id| id.to_string()),
        username: event.user.and_then(|id| names.0.get(&id)?.as_deref()),
        session_id: event.session.map(|id| id.to_string()),
        address: &event.address,
        detail: &event.detail,
    }
}

/// One entry as a line of its own: the widths of what comes later are not known.
fn line(entry: &Entry, names: &Names) -> String {
    let event = &entry.event;
    let mut line = format!(
        "{}  {}  {}",
        paint(DIM, instant(event.at)),
        paint(style(event.action), format!("{:<18}", event.action.name())),
        clean(&names.of(event.user)),
    );
    let by = names.actor(event);
    for (word, text) in [("by", by.as_str()), ("from", &event.address), ("·", &event.detail)] {
        if !text.is_empty() {
            line.push_str(&format!(" {} {}", paint(DIM, word), clean(text)));
        }
    }
    line.push('\n');
    line
}

/// What somebody should look at stands out.
fn style(action: Action) -> anstyle::Style {
    match action {
        Action::RefreshReused
        | Action::DatabaseWentBack
        | Action::RefreshRepeatedElsewhere
        | Action::KeyRevoked
        | Action::DatabaseRestored => BAD,
        Action::LoginFailed | Action::LoginThrottled => WARN,
        _ => anstyle::Style::new(),
    }
}

/// Names of users by id, as far as they exist; asked for once.
#[derive(Default)]
struct Names(HashMap<UserId, Option<String>>);

impl Names {
    async fn learn(&mut self, operator: &Operator, event: &Event) -> Result<(), Failure> {
        let actor = match event.actor {
            Actor::User(id) => Some(id),
            _ => None,
        };
        for id in [event.user, actor].into_iter().flatten() {
            if let hash_map::Entry::Vacant(entry) = self.0.entry(id) {
                let found = match operator.user(&id.to_string()).await {
                    Ok(user) => Some(user.username.as_str().to_owned()),
                    Err(crate::app::OperatorError::NoSuchUser(_)) => None,
                    Err(error) => return Err(error.into()),
                };
                entry.insert(found);
            }
        }
        Ok(())
    }

    fn of(&self, user: Option<UserId>) -> String {
        let Some(id) = user else { return String::new() };
        self.0.get(&id).cloned().flatten().unwrap_or_else(|| id.to_string())
    }

    /// Empty where the user did it themselves.
    fn actor(&self, event: &Event) -> String {
        match event.actor {
            Actor::Anonymous => "somebody".to_owned(),
            Actor::Operator => "operator".to_owned(),
            Actor::System => "system".to_owned(),
            Actor::User(id) if event.user == Some(id) => String::new(),
            Actor::User(id) => self.of(Some(id)),
        }
    }
}
