//! `jotgate token inspect`.

use std::io::Read as _;

use clap::Args;
use jotgate_domain::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cli::error::{Failure, failed};
use crate::cli::output::{self, BOLD, DIM, WARN, clean, indent_json, instant, paint, relative};
use crate::edge::Edge;

/// More than any token is, and little enough to read whole.
const MOST_INPUT: u64 = 1024 * 1024;

/// Print header and claims of a token, without verifying anything
///
/// What is printed may be anybody's invention: `jotgate token verify` says whether it is true.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate token inspect eyJhbGciOiJFUzI1NiIs…
  curl -s … | jq -r .access_token | jotgate token inspect
  jotgate token inspect --json - < token.txt")]
pub(in crate::cli) struct Inspect {
    /// The token; `-` or nothing: standard input
    token: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failure> {
        let token = match super::from_standard_input(self.token) {
            Some(token) => token,
            None => {
                let mut text = String::new();
                let read = std::io::stdin().lock().take(MOST_INPUT).read_to_string(&mut text);
                read.map_err(|error| failed(format!("cannot read standard input: {error}")))?;
                text
            }
        };
        // What is copied comes with the new line, the quotes or the scheme around it.
        let token = token.trim().trim_matches('"');
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        if token.is_empty() {
            return Err(Failure::Usage(
                "there is no token: give one as argument or on standard input".to_owned(),
            ));
        }
        let decoded = jotgate_jose::insecure_decode(token)
            .map_err(|error| failed(format!("{error} ({})", error.code())))?;
        let claims = String::from_utf8(decoded.payload)
            .ok()
            .filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
        if self.json {
            let header = &decoded.header;
            let claims = claims.as_deref().unwrap_or("null");
            return output::print(&one_line(&format!(
                r#"{{"verified":false,"header":{header},"claims":{claims}}}"#
            )));
        }
        output::print(&page(&decoded.header, claims.as_deref(), Edge::system().now()))
    }
}

/// White space between values may hold new lines; inside strings JSON has none.
fn one_line(json: &str) -> String {
    let mut line: String = json.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    line.push('\n');
    line
}

fn page(header: &str, claims: Option<&str>, now: Timestamp) -> String {
    let mut page = format!(
        "{}\n\n{}\n{}\n",
        paint(WARN, "Not verified: anybody can write a token that reads like this."),
        paint(BOLD, "Header"),
        lines(header),
    );
    page.push_str(&format!("\n{}\n", paint(BOLD, "Claims")));
    let Some(claims) = claims else {
        page.push_str("The payload is not JSON.\n");
        return page;
    };
    page.push_str(&format!("{}\n", lines(claims)));
    let value: Value = serde_json::from_str(claims).unwrap_or_default();
    let times: Vec<String> =
        [("iat", "issued"), ("auth_time", "logged in"), ("nbf", "valid from"), ("exp", "expires")]
            .iter()
            .filter_map(|(claim, word)| {
                let at = Timestamp::from_secs(value.get(claim)?.as_i64()?);
                let word = if *claim == "exp" && at <= now { "expired" } else { word };
                Some(format!(
                    "{word:<11}{} {}\n",
                    instant(at),
                    paint(DIM, format!("({})", relative(at, now)))
                ))
            })
            .collect();
    if !times.is_empty() {
        page.push_str(&format!("\n{}\n{}", paint(BOLD, "Times"), times.concat()));
    }
    page
}

/// Indented, and harmless for the terminal line by line.
fn lines(json: &str) -> String {
    indent_json(json).lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_that_nothing_was_verified() {
        let page = page(
            r#"{"alg":"ES256","typ":"at+jwt"}"#,
            Some("{\"sub\":\"a\u{202e}b\",\n\"iat\":1790000000,\"exp\":1790000600,\"roles\":[\"x\"]}"),
            Timestamp::from_secs(1_790_000_700),
        );
        insta::assert_snapshot!(anstream::adapter::strip_str(&page).to_string(), @r#"
        Not verified: anybody can write a token that reads like this.

        Header
        {
          "alg": "ES256",
          "typ": "at+jwt"
        }

        Claims
        {
          "sub": "a\u{202e}b",
          "iat": 1790000000,
          "exp": 1790000600,
          "roles": ["x"]
        }

        Times
        issued     2026-09-21 14:13:20Z (12 minutes ago)
        expired    2026-09-21 14:23:20Z (2 minutes ago)
        "#);
    }

    #[test]
    fn json_is_one_line() {
        assert_eq!(one_line("{\"a\":\n1}\r\n"), "{\"a\":1}\n");
    }
}
