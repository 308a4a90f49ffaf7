//! `jotgate openapi`.

use clap::Args;

use super::error::Failure;
use super::output;
use crate::http::openapi;

/// Print the description of the HTTP API (OpenAPI 3.1, JSON)
///
/// The document that a server has at /openapi.json.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate openapi > openapi.json")]
pub(super) struct OpenApi {
    /// Accepted for uniformity: the output is always JSON
    #[arg(long, hide = true)]
    json: bool,
}

impl OpenApi {
    pub(super) fn run(self) -> Result<(), Failure> {
        output::print(openapi::document())
    }
}
