//! `jotgate user delete`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::Args;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output::clean;
use crate::cli::settings::Settings;

/// Delete a user and all that is theirs; every session ends
///
/// The name is free again afterwards; the id is never used again. The audit trail keeps what happened.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user delete ada
  jotgate user delete ada --yes")]
pub(in crate::cli) struct Delete {
    /// User name, e-mail address or user id
    user: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Delete {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let user = operator.user(&self.user).await?;
            if !self.yes {
                confirm(user.username.as_str())?;
            }
            // By id: between the question and now the name may have gone to somebody else.
            let done = operator.delete(&user.id.to_string()).await?;
            super::tell(&done, self.json, "is deleted", "")
        })
    }
}

fn confirm(name: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask on: say --yes".to_owned()));
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "Delete {} for good? Type yes: ", clean(name)).and_then(|()| err.flush());
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::Failed("nothing was deleted".to_owned())) }
}
