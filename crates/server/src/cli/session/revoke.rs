//! `jotgate session revoke`.

use clap::Args;
use jotgate_domain::SessionId;
use serde::Serialize;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output::{self, clean};
use crate::cli::settings::Settings;

/// End a session, or all of a user's; their tokens are refused at once
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate session revoke 01936b2e-8f00-7c3a-9d57-0f4a5c1e2b3d
  jotgate session revoke --user ada")]
pub(in crate::cli) struct Revoke {
    /// Id of the session (`jotgate session list`)
    #[arg(required_unless_present = "user", conflicts_with = "user")]
    id: Option<SessionId>,
    /// All sessions of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Ended<'a> {
    username: &'a str,
    sessions_ended: u32,
}

impl Revoke {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let (user, ended) = match (&self.user, self.id) {
                (Some(who), _) => {
                    let done = operator.end_sessions(who).await?;
                    (done.user, done.ended)
                }
                (None, Some(id)) => (operator.end_session(id).await?.1, 1),
                (None, None) => return Err(Failure::Usage("which session?".to_owned())),
            };
            let username = user.username.as_str();
            if self.json {
                return output::json(&Ended { username, sessions_ended: ended });
            }
            output::say(match ended {
                0 => format!("{} was signed in nowhere.", clean(username)),
                1 => format!("1 session of {} ended.", clean(username)),
                n => format!("{n} sessions of {} ended.", clean(username)),
            })
        })
    }
}
