//! `jotgate user set-password`.

use clap::Args;

use crate::cli::error::Failure;
use crate::cli::settings::Settings;
use crate::cli::{operate, password};

/// Set a user's password; every session of theirs ends
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user set-password ada
  jotgate user set-password ada --password-stdin < password.txt")]
pub(in crate::cli) struct SetPassword {
    /// User name, e-mail address or user id
    user: String,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl SetPassword {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let user = operator.user(&self.user).await?;
            let password = password::read_new(user.username.as_str(), self.password_stdin)?;
            let done = operator.set_password(&self.user, &password).await?;
            super::tell(&done, self.json, "has a new password", "")
        })
    }
}
