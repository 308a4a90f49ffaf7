//! `jotgate user list`.

use clap::Args;
use jotgate_domain::User;
use jotgate_domain::name::canonical;
use serde::Serialize;

use crate::cli::error::Failure;
use crate::cli::operate::{self, UserJson};
use crate::cli::output::{self, DIM, WARN, instant, paint};
use crate::cli::settings::Settings;
use crate::cli::table::{Cell, Table};

/// Rows of a page that is read at once with --all.
const PAGE: u32 = 1000;

/// List users in order of their names, a page at a time
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user list
  jotgate user list --after zoe
  jotgate user list --all --json | jq -r '.users[].username'")]
pub(in crate::cli) struct List {
    /// Most users to print
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Begin after this user name
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    /// Print all users
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Page<'a> {
    users: Vec<UserJson<'a>>,
    /// What to give to `--after` for the rest; null at the end.
    next: Option<&'a str>,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let limit = if self.all { PAGE } else { self.limit };
            let mut after = self.after.as_deref().map(canonical);
            let mut users: Vec<User> = Vec::new();
            let mut more;
            loop {
                // One more than is shown tells whether there is more.
                let mut page = operator.users(after.take(), limit.saturating_add(1)).await?;
                more = page.len() > limit as usize;
                page.truncate(limit as usize);
                after = page.last().map(|user| user.username.canonical());
                users.append(&mut page);
                if !(self.all && more) {
                    break;
                }
            }
            let next = users.last().filter(|_| more).map(|user| user.username.as_str());
            if self.json {
                return output::json(&Page { users: users.iter().map(UserJson::from).collect(), next });
            }
            if users.is_empty() {
                return output::say(if self.after.is_some() {
                    "There are no users after that name.".to_owned()
                } else {
                    format!(
                        "There are no users yet. Add one: {}",
                        paint(anstyle::Style::new().bold(), "jotgate user add NAME")
                    )
                });
            }
            let mut text = table(&users).render();
            if let Some(next) = next {
                text.push_str(&format!(
                    "\n{}\n",
                    paint(DIM, format!("There are more: jotgate user list --after {next}"))
                ));
            }
            output::print(&text)
        })
    }
}

fn table(users: &[User]) -> Table {
    let mut table = Table::new(&["NAME", "E-MAIL", "ROLES", "CREATED", "STATE"]);
    for user in users {
        let email = user.email.as_ref().map_or("", |email| email.as_str());
        let roles: Vec<&str> = user.roles.iter().map(|role| role.as_str()).collect();
        table.row([
            user.username.as_str().into(),
            Cell::styled(if user.verified_email().is_some() { anstyle::Style::new() } else { DIM }, email),
            roles.join(",").into(),
            instant(user.created_at).into(),
            if user.is_active() { "active".into() } else { Cell::styled(WARN, "disabled") },
        ]);
    }
    table
}
