//! `jotgate doctor`: what is wrong with an installation, which setting it is, and what to do.

mod certificate;
mod database;
mod files;
mod outside;
mod providers;

use anstyle::Style;
use clap::Args;
use serde::Serialize;

use super::error::{Failure, failed};
use super::output::{self, BAD, DIM, GOOD, WARN, paint};
use super::settings::AllSettings;
use crate::config::{Config, Problem};
use crate::edge::Edge;

/// Find what is wrong with this installation, and say how to put it right
///
/// Looks at the configuration, the database and its keys, the master key, disk space and rights, the certificate, and
/// asks public_url as users do: who answers there, with which keys, by which clock, and through which proxy; and asks
/// every provider that users may sign in with. Changes nothing. Run it with the server's own configuration, as its user, while it runs.
///
/// Exit code 0 where nothing is wrong (warnings may be), else 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate doctor
  jotgate doctor --config /etc/jotgate/jotgate.toml --json")]
pub(super) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: AllSettings,
}

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Good,
    /// Works, and should be looked at.
    Warning,
    Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    level: Level,
    /// The key that it depends on.
    setting: Option<String>,
    message: String,
    /// What to do.
    fix: Option<String>,
}

impl Finding {
    fn good(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Good, setting: None, message: message.into(), fix: None }
    }

    fn wrong(check: &'static str, setting: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Wrong,
            setting: Some(setting.to_owned()),
            message: message.into(),
            fix: Some(fix.into()),
        }
    }

    fn warning(
        check: &'static str,
        setting: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { level: Level::Warning, ..Self::wrong(check, setting, message, fix) }
    }

    fn of_problem(level: Level, problem: &Problem) -> Self {
        Self {
            check: "configuration",
            level,
            setting: problem.key.clone(),
            message: problem.to_string(),
            fix: None,
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    healthy: bool,
    findings: &'a [Finding],
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        let findings = match self.settings.0.try_load()? {
            Err(invalid) => {
                let wrong = invalid.problems.iter().map(|problem| Finding::of_problem(Level::Wrong, problem));
                let warnings =
                    invalid.warnings.iter().map(|problem| Finding::of_problem(Level::Warning, problem));
                wrong.chain(warnings).collect()
            }
            Ok(loaded) => {
                let mut findings: Vec<Finding> = loaded
                    .warnings
                    .iter()
                    .map(|problem| Finding::of_problem(Level::Warning, problem))
                    .collect();
                if findings.is_empty() {
                    findings.push(Finding::good("configuration", "nothing is wrong with it"));
                }
                findings.extend(examine(&loaded.config, &Edge::system())?);
                findings
            }
        };
        let healthy = findings.iter().all(|finding| finding.level != Level::Wrong);
        if self.json {
            output::json(&Report { healthy, findings: &findings })?;
        } else {
            output::print(&written(&findings))?;
        }
        if healthy { Ok(()) } else { Err(Failure::Silent) }
    }
}

fn examine(config: &Config, edge: &Edge) -> Result<Vec<Finding>, Failure> {
    let mut findings = files::look(config);
    findings.extend(certificate::look(config, edge.now()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (of_database, published) = runtime.block_on(database::look(config, edge));
    findings.extend(of_database);
    findings.extend(runtime.block_on(providers::look(config, edge)));
    findings.extend(outside::look(config, edge, published.as_deref()));
    Ok(findings)
}

fn written(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (mark, style): (&str, Style) = match finding.level {
            Level::Good => ("ok", GOOD),
            Level::Warning => ("warning", WARN),
            Level::Wrong => ("wrong", BAD),
        };
        text.push_str(&format!("{}{}: {}\n", paint_wide(style, mark), finding.check, finding.message));
        let setting = finding.setting.as_deref().map(|setting| format!("setting: {setting}"));
        let fix = finding.fix.as_deref().map(|fix| format!("fix: {fix}"));
        for line in setting.into_iter().chain(fix) {
            text.push_str(&format!("         {}\n", paint(DIM, line)));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    text.push_str(&match (count(Level::Wrong), count(Level::Warning)) {
        (0, 0) => format!("{}\n", paint(GOOD, "Nothing is wrong.")),
        (0, warnings) => format!("Nothing is wrong; {warnings} to look at.\n"),
        (wrong, _) => format!("{}\n", paint(BAD, format!("{wrong} wrong."))),
    });
    text
}

/// Styled and padded: the style itself takes no room.
fn paint_wide(style: Style, mark: &str) -> String {
    format!("{}{}", paint(style, mark), " ".repeat(9_usize.saturating_sub(mark.len())))
}
