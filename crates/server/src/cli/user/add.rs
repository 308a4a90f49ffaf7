//! `jotgate user add`.

use clap::Args;

use crate::app::NewUser;
use crate::cli::error::Failure;
use crate::cli::operate::{self, UserJson};
use crate::cli::output::{self, clean};
use crate::cli::password;
use crate::cli::settings::Settings;

/// Add a user
///
/// Asks for the password without showing it, twice. The e-mail address is taken as proven: you vouch for it. An
/// administrator is a user with the role `admin`; there are no accounts that you did not make.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user add ada --email ada@example.com --role admin
  jotgate user add ada --password-stdin < password.txt")]
pub(in crate::cli) struct Add {
    /// User name; letters, digits and . _ - +, no @
    name: String,
    /// E-mail address, which is taken as proven
    #[arg(long)]
    email: Option<String>,
    /// Role to grant; can be repeated
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Add {
    pub(super) fn run(self) -> Result<(), Failure> {
        let new = NewUser {
            username: self.name,
            email_verified: self.email.is_some(),
            email: self.email,
            roles: self.role,
        };
        operate::run(&self.settings, true, async |operator| {
            // What is wrong with the rest is said before anybody types a password.
            let draft = operator.draft(&new)?;
            operator.check_import(&draft, None).await?;
            let password = password::read_new(draft.username.as_str(), self.password_stdin)?;
            let user = operator.add(&new, &password).await?;
            if self.json {
                return output::json(&UserJson::from(&user));
            }
            output::say(format!("{} is added (id {}).", clean(user.username.as_str()), user.id))
        })
    }
}
