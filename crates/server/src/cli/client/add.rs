//! `jotgate client add`.

use clap::Args;
use serde::Serialize;

use super::ClientJson;
use crate::app::NewClient;
use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output::{self, BOLD, clean, paint};
use crate::cli::settings::Settings;

/// Add an OAuth client, and print its id and its secret
///
/// The secret is shown this once; the database has only its hash. A client that is lost or leaked is deleted and
/// added anew.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate client add \"Orders API\" --audience https://api.example.com
  jotgate client add \"Phone app\" --id phone --public")]
pub(in crate::cli) struct Add {
    /// What it is called, for people
    name: String,
    /// Its id (client_id); without one, it is drawn
    #[arg(long)]
    id: Option<String>,
    /// It cannot keep a secret (a browser or phone application), and gets none
    #[arg(long)]
    public: bool,
    /// Resource server that it speaks for (`aud` of tokens): it may introspect its tokens; can be repeated
    #[arg(long, value_name = "AUDIENCE", conflicts_with = "public")]
    audience: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Added<'a> {
    #[serde(flatten)]
    client: ClientJson<'a>,
    client_secret: Option<&'a str>,
}

impl Add {
    pub(super) fn run(self) -> Result<(), Failure> {
        let new = NewClient { name: self.name, id: self.id, public: self.public, audiences: self.audience };
        operate::run(&self.settings, true, async |operator| {
            let (client, secret) = operator.add_client(&new).await?;
            let secret = secret.as_ref().map(|secret| secret.expose());
            if self.json {
                return output::json(&Added { client: ClientJson::from(&client), client_secret: secret });
            }
            let mut text = format!("{} is added.\n", paint(BOLD, clean(&client.name)));
            text.push_str(&format!("  {:<15}{}\n", "client_id", client.id));
            match secret {
                Some(secret) => text.push_str(&format!(
                    "  {:<15}{secret}\n\nThe secret is not shown again: put it where the client reads it.\n",
                    "client_secret"
                )),
                None => text.push_str("\nIt is public: it has no secret, and may not introspect.\n"),
            }
            output::print(&text)
        })
    }
}
