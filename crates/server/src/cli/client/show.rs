//! `jotgate client show`.

use clap::Args;

use super::{ClientJson, kind};
use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output::{self, BOLD, DIM, clean, instant, paint, relative};
use crate::cli::settings::Settings;

/// Show one client
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate client show phone
  jotgate client show phone --json")]
pub(in crate::cli) struct Show {
    /// Its id
    client: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Show {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let client = operator.client(&self.client).await?;
            if self.json {
                return output::json(&ClientJson::from(&client));
            }
            let audiences: Vec<String> = client.audiences.iter().map(|one| clean(one)).collect();
            let created = client.created_at;
            let mut text = format!("{}\n", paint(BOLD, clean(&client.name)));
            for (name, value) in [
                ("client_id", client.id.to_string()),
                ("kind", kind(&client).to_owned()),
                ("audiences", if audiences.is_empty() { "none".to_owned() } else { audiences.join(", ") }),
                (
                    "created",
                    format!(
                        "{} {}",
                        instant(created),
                        paint(DIM, format!("({})", relative(created, operator.now())))
                    ),
                ),
            ] {
                text.push_str(&format!("  {name:<12}{value}\n"));
            }
            output::print(&text)
        })
    }
}
