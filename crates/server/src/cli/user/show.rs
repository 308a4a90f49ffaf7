//! `jotgate user show`.

use clap::Args;
use serde::Serialize;

use crate::cli::error::Failure;
use crate::cli::operate::{self, UserJson};
use crate::cli::output::{self, BOLD, DIM, WARN, clean, instant, paint, relative};
use crate::cli::settings::Settings;

/// Show one user
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user show ada
  jotgate user show ada@example.com --json")]
pub(in crate::cli) struct Show {
    /// User name, e-mail address or user id
    user: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    user: UserJson<'a>,
    permissions: Option<Vec<String>>,
    sessions: usize,
}

impl Show {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let user = operator.user(&self.user).await?;
            let most = operator.config.policy.max_per_user.saturating_add(1);
            let sessions = operator.sessions(Some(user.id), most).await?.len();
            let permissions = jotgate_domain::token::permissions(&user, &operator.config.policy);
            if self.json {
                return output::json(&Shown { user: UserJson::from(&user), permissions, sessions });
            }
            let now = operator.now();
            let at = |at| format!("{} {}", instant(at), paint(DIM, format!("({})", relative(at, now))));
            let state = match user.disabled_at {
                Some(since) => paint(WARN, format!("disabled since {}", instant(since))),
                None => "active".to_owned(),
            };
            let email = match (&user.email, user.verified_email()) {
                (None, _) => "none".to_owned(),
                (Some(email), Some(_)) => clean(email.as_str()),
                (Some(email), None) => format!("{} (not proven)", clean(email.as_str())),
            };
            let list = |items: Vec<&str>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
            let mut lines = vec![
                ("id", user.id.to_string()),
                ("state", state),
                ("e-mail", email),
                ("roles", list(user.roles.iter().map(|role| role.as_str()).collect())),
            ];
            if let Some(permissions) = &permissions {
                lines.push(("permissions", list(permissions.iter().map(String::as_str).collect())));
            }
            for (name, value) in &user.claims {
                lines.push(("claim", format!("{} = {}", clean(name), clean(&value.to_string()))));
            }
            lines.push((
                "password",
                user.password_changed_at.map_or("none".to_owned(), |set| format!("set {}", at(set))),
            ));
            lines.push(("created", at(user.created_at)));
            lines.push(("sessions", sessions.to_string()));
            let mut text = format!("{}\n", paint(BOLD, clean(user.username.as_str())));
            for (name, value) in lines {
                text.push_str(&format!("  {name:<12}{value}\n"));
            }
            output::print(&text)
        })
    }
}
