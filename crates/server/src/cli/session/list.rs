//! `jotgate session list`.

use std::collections::HashMap;

use clap::Args;
use jotgate_domain::UserId;
use serde::Serialize;

use crate::cli::error::Failure;
use crate::cli::operate::{self, SessionJson, ends_at};
use crate::cli::output::{self, DIM, paint, relative};
use crate::cli::settings::Settings;
use crate::cli::table::Table;

/// Longest user agent in the table.
const AGENT: usize = 40;

/// List live sessions, newest use first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate session list
  jotgate session list --user ada --json")]
pub(in crate::cli) struct List {
    /// Only those of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Most sessions to print
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Page<'a> {
    sessions: Vec<SessionJson<'a>>,
    /// Whether there are more than `--limit`.
    more: bool,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let user = match &self.user {
                Some(who) => Some(operator.user(who).await?),
                None => None,
            };
            let limit = self.limit as usize;
            let mut sessions =
                operator.sessions(user.as_ref().map(|user| user.id), self.limit.saturating_add(1)).await?;
            let more = sessions.len() > limit;
            sessions.truncate(limit);
            let mut names: HashMap<UserId, String> = HashMap::new();
            for session in &sessions {
                if !names.contains_key(&session.user_id) {
                    // One who was deleted meanwhile has no name, and soon no session.
                    if let Ok(user) = operator.user(&session.user_id.to_string()).await {
                        names.insert(user.id, user.username.as_str().to_owned());
                    }
                }
            }
            let name = |id: UserId| names.get(&id).map(String::as_str);
            if self.json {
                let sessions = sessions.iter().map(|s| SessionJson::of(s, name(s.user_id))).collect();
                return output::json(&Page { sessions, more });
            }
            if sessions.is_empty() {
                return output::say(match &user {
                    Some(user) => format!("{} is signed in nowhere.", output::clean(user.username.as_str())),
                    None => "Nobody is signed in.".to_owned(),
                });
            }
            let now = operator.now();
            let mut table = Table::new(&["SESSION", "USER", "LAST USED", "ENDS", "ADDRESS", "WITH"]);
            for session in &sessions {
                let agent: String = session.user_agent.chars().take(AGENT).collect();
                let dots = if agent.len() < session.user_agent.len() { "…" } else { "" };
                table.row([
                    session.id.to_string().into(),
                    name(session.user_id).unwrap_or("?").into(),
                    relative(session.last_used_at, now).into(),
                    relative(ends_at(session), now).into(),
                    (&session.address).into(),
                    format!("{agent}{dots}").into(),
                ]);
            }
            let mut text = table.render();
            if more {
                text.push_str(&format!("\n{}\n", paint(DIM, "There are more: --limit, or --user")));
            }
            output::print(&text)
        })
    }
}
