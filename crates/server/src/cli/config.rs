//! `jotgate config`: what is set, from where, and what is wrong with it.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::error::Failure;
use super::output::{self, BAD, DIM, GOOD, WARN, paint};
use super::settings::AllSettings;
use super::table::{Cell, Table};
use crate::config::{Config as Configuration, Problem, Setting, Source};

/// Check or show the configuration
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    Check(Check),
    Show(Show),
}

/// Say everything that is wrong with the configuration, and where it was set
///
/// Nothing is started and nothing is made. Exit code 0 where a server would start with it, warnings or not; else 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate config check
  jotgate config check --config /etc/jotgate/jotgate.toml --json")]
pub(in crate::cli) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: AllSettings,
}

/// Print every key with its value and where that comes from
///
/// Secrets are masked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate config show
  JOTGATE_TOKEN_ACCESS_TTL=5m jotgate config show --json")]
pub(in crate::cli) struct Show {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: AllSettings,
}

impl Config {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check(command) => command.run(),
            Self::Show(command) => command.run(),
        }
    }
}

impl Check {
    fn run(self) -> Result<(), Failure> {
        let (problems, warnings) = match self.settings.0.try_load()? {
            Ok(loaded) => (unreadable(&loaded.config, &loaded.settings), loaded.warnings),
            Err(invalid) => (invalid.problems, invalid.warnings),
        };
        if self.json {
            output::json(&Report {
                valid: problems.is_empty(),
                errors: problems.iter().map(Note::from).collect(),
                warnings: warnings.iter().map(Note::from).collect(),
            })?;
        } else {
            let mut text = String::new();
            for problem in &problems {
                text.push_str(&format!("{} {problem}\n", paint(BAD, "error:")));
            }
            for warning in &warnings {
                text.push_str(&format!("{} {warning}\n", paint(WARN, "warning:")));
            }
            text.push_str(&match (problems.len(), warnings.len()) {
                (0, 0) => format!("{}\n", paint(GOOD, "The configuration is good.")),
                (0, _) => "A server would start with this configuration.\n".to_owned(),
                (1, _) => "1 error: a server would not start.\n".to_owned(),
                (n, _) => format!("{n} errors: a server would not start.\n"),
            });
            output::print(&text)?;
        }
        if problems.is_empty() { Ok(()) } else { Err(Failure::Silent) }
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let loaded = self.settings.0.load()?;
        if self.json {
            return output::json(&loaded.settings.iter().map(Shown::from).collect::<Vec<_>>());
        }
        let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
        for Setting { key, value, source } in &loaded.settings {
            let source_style = if *source == Source::Default { DIM } else { GOOD };
            let value_style = if *source == Source::Default { DIM } else { anstyle::Style::new() };
            table.row([
                key.into(),
                Cell::styled(value_style, value),
                Cell::styled(source_style, &source.to_string()),
            ]);
        }
        output::print(&table.render())
    }
}

/// Files that are named and cannot be read: what a start would stumble over next.
fn unreadable(config: &Configuration, settings: &[Setting]) -> Vec<Problem> {
    let tls = config.tls.iter().flat_map(|tls| [("tls.cert", &tls.cert), ("tls.key", &tls.key)]);
    let master = match &config.master_key {
        crate::config::MasterKeySource::File(path) => Some(("master_key_file", path)),
        crate::config::MasterKeySource::DataDir => None,
    };
    tls.chain(master)
        .filter_map(|(key, path)| {
            let error = std::fs::File::open(path).err()?;
            let source = settings.iter().find(|setting| setting.key == key)?.source.clone();
            let message = format!("cannot read {}: {error}", path.display());
            Some(Problem { key: Some(key.to_owned()), source, message })
        })
        .collect()
}

#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    errors: Vec<Note<'a>>,
    warnings: Vec<Note<'a>>,
}

#[derive(Serialize)]
struct Note<'a> {
    key: Option<&'a str>,
    from: String,
    message: &'a str,
}

impl<'a> From<&'a Problem> for Note<'a> {
    fn from(problem: &'a Problem) -> Self {
        Self { key: problem.key.as_deref(), from: problem.source.to_string(), message: &problem.message }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    key: &'a str,
    value: &'a str,
    from: String,
}

impl<'a> From<&'a Setting> for Shown<'a> {
    fn from(setting: &'a Setting) -> Self {
        Self { key: &setting.key, value: &setting.value, from: setting.source.to_string() }
    }
}
