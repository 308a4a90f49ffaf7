//! `jotgate webhook test`.

use clap::Args;
use jotgate_domain::webhook::Answer;
use serde::Serialize;

use crate::cli::error::{Failure, failed};
use crate::cli::operate;
use crate::cli::output;
use crate::cli::settings::Settings;

/// Send a message of type webhook.test from here, once, and say what the receiver answers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate webhook test orders

Exit code 1 where it was not taken (any answer but 2xx, or none within 15 seconds).")]
pub(in crate::cli) struct Test {
    /// Name of the webhook
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Tested<'a> {
    id: &'a str,
    /// None where there was no answer.
    status: Option<u16>,
    taken: bool,
}

impl Test {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let (delivery, answer) = operator.test_webhook(&self.name).await?;
            let (status, said) = match answer {
                Answer::Status { status, .. } => (Some(status), format!("it answered {status}")),
                Answer::None(why) => (None, why),
            };
            let taken = status.is_some_and(|status| (200..300).contains(&status));
            if self.json {
                output::json(&Tested { id: &delivery.id, status, taken })?;
            } else if taken {
                output::say(format!("Taken: {said}."))?;
            }
            if taken { Ok(()) } else { Err(failed(format!("the message was not taken: {said}"))) }
        })
    }
}
