//! `jotgate user set-claim`.

use clap::Args;
use serde_json::Value;

use crate::app::{Done, Operator};
use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output::clean;
use crate::cli::settings::Settings;

/// Set custom claims, which stand in every token of the user
///
/// The value is JSON. Tokens say it from their next refresh on; where a claim is changed or removed, the tokens
/// that say otherwise are revoked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user set-claim ada plan='\"pro\"' seats=5
  jotgate user set-claim ada teams='[\"red\",\"blue\"]'
  jotgate user set-claim ada --remove plan")]
pub(in crate::cli) struct SetClaim {
    /// User name, e-mail address or user id
    user: String,
    /// Name and value, as KEY=JSON
    #[arg(value_name = "KEY=JSON", value_parser = claim, required_unless_present = "remove")]
    claims: Vec<(String, Value)>,
    /// Remove this claim; can be repeated
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, json) = text.split_once('=').ok_or("expected KEY=JSON")?;
    let value = serde_json::from_str(json).map_err(|error| {
        let quoted = Value::from(json).to_string();
        format!("the value is not JSON ({error}); a text has quotes: {name}='{quoted}'")
    })?;
    Ok((name.to_owned(), value))
}

impl SetClaim {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let mut all: Option<Done> = None;
            let set = self.claims.iter().map(|(name, value)| (name, Some(value)));
            for (name, value) in set.chain(self.remove.iter().map(|name| (name, None))) {
                all = Some(edit(operator, &self.user, name, value, all).await?);
            }
            match all {
                Some(done) => {
                    let names: Vec<&str> = done.user.claims.keys().map(String::as_str).collect();
                    let now = match names.as_slice() {
                        [] => "has no custom claims now".to_owned(),
                        names => format!("has these custom claims now: {}", clean(&names.join(", "))),
                    };
                    super::tell(&done, self.json, &now, "has these claims already")
                }
                None => Ok(()),
            }
        })
    }
}

async fn edit(
    operator: &Operator,
    user: &str,
    name: &str,
    value: Option<&Value>,
    before: Option<Done>,
) -> Result<Done, Failure> {
    let done = operator.set_claim(user, name, value).await?;
    Ok(Done { changed: done.changed || before.is_some_and(|before| before.changed), ..done })
}
