//! `jotgate user import`: every row becomes a user or a line in the report, none gets lost in between.

mod rows;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jotgate_domain::User;
use jotgate_domain::name::Canonical;
use serde::Serialize;

use self::rows::{Row, Rows, Wrong};
use crate::app::{NewUser, Operator, OperatorError};
use crate::cli::error::{Failure, failed};
use crate::cli::operate;
use crate::cli::output::{self, BAD, GOOD, clean, paint};
use crate::cli::progress::{Counted, Progress};
use crate::cli::settings::Settings;

/// Code of what no row can help.
const UNAVAILABLE: &str = "unavailable";
/// Rows that are written side by side: the database commits them together.
const GROUP: usize = 256;

/// Make users of a file, with the password hashes of another system
///
/// JSON Lines, an object a line, or CSV with a header. Members and columns: username, email, email_verified,
/// roles, password_hash; only username has to be there. In CSV, roles have spaces or | between them.
///
/// A password hash is an argon2 hash in PHC form ($argon2id$v=19$m=…,t=…,p=…$salt$hash; argon2i and argon2d, too),
/// within 262144 KiB and 64 passes, at most 2097152 KiB over all passes. Other kinds (bcrypt, scrypt, PBKDF2) are
/// refused: this server could not verify them. A user without a hash cannot log in until a password is set.
///
/// Each row stands by itself: a bad one is reported and does not keep the others out. Running the same file again
/// changes nothing: names that exist are reported as taken. Exit code 0 only if no row was refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user import users.csv --dry-run
  jotgate user import users.jsonl
  jotgate user import - --format jsonl --json < users.jsonl

  username,email,email_verified,roles,password_hash
  ada,ada@example.com,true,admin editor,$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA

  {\"username\":\"ada\",\"email\":\"ada@example.com\",\"roles\":[\"admin\"],\"password_hash\":\"$argon2id$…\"}")]
pub(in crate::cli) struct Import {
    /// File; `-`: standard input
    file: PathBuf,
    /// Form of the file; told by its name or its first character where it is not given
    #[arg(long)]
    format: Option<Format>,
    /// Say what would become of each row, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object a row, and a last one with the counts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// JSON Lines
    Jsonl,
    /// CSV with a header
    Csv,
}

/// What became of one row.
#[derive(Serialize)]
struct Report<'a> {
    /// In the file, from 1.
    line: u64,
    username: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counts {
    rows: u64,
    imported: u64,
    refused: u64,
}

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (input, size) = open(&self.file)?;
        let (input, read) = Counted::new(input);
        let rows = Rows::open(input, self.format.or_else(|| by_name(&self.file)))
            .map_err(|why| failed(format!("{}: {why}", self.file.display())))?;
        operate::run(&self.settings, !self.dry_run, async |operator| {
            let mut import = Running {
                operator,
                dry_run: self.dry_run,
                json: self.json,
                progress: Progress::start(size, read),
                names: HashSet::new(),
                emails: HashSet::new(),
                counts: Counts::default(),
            };
            let mut rows = rows;
            loop {
                let group: Vec<_> = rows.by_ref().take(GROUP).collect();
                if group.is_empty() {
                    break;
                }
                import.group(group).await?;
            }
            import.finish()
        })
    }
}

fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let wrong = |error: io::Error| failed(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(wrong)?;
    let meta = file.metadata().map_err(wrong)?;
    if meta.is_dir() {
        return Err(failed(format!("{} is a directory", path.display())));
    }
    Ok((Box::new(file), Some(meta.len()).filter(|_| meta.is_file())))
}

fn by_name(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

struct Running<'o> {
    operator: &'o Operator,
    dry_run: bool,
    json: bool,
    progress: Progress,
    /// Names and addresses of earlier rows, which a dry run does not find in the database.
    names: HashSet<Canonical>,
    emails: HashSet<Canonical>,
    counts: Counts,
}

impl Running<'_> {
    /// Takes rows in order; writes them side by side.
    async fn group(&mut self, group: Vec<(u64, Result<Row, Wrong>)>) -> Result<(), Failure> {
        let mut rows = Vec::with_capacity(group.len());
        let mut drafts = Vec::new();
        for (line, row) in group {
            let (username, draft) = match row {
                Ok(row) => (Some(row.username.clone()), self.draft(row).await),
                Err(why) => (None, Err(why)),
            };
            let wrong = match draft {
                Ok(draft) => {
                    drafts.push(draft);
                    None
                }
                Err(wrong) => Some(wrong),
            };
            rows.push((line, username, wrong));
        }
        let mut written =
            if self.dry_run { Vec::new() } else { self.operator.import(drafts).await }.into_iter();

        let mut text = String::new();
        for (line, username, wrong) in rows {
            let result = match wrong {
                Some(wrong) => Err(wrong),
                None => written.next().unwrap_or(Ok(())).map_err(Wrong::from),
            };
            self.counts.rows += 1;
            match &result {
                Ok(()) => self.counts.imported += 1,
                Err(_) => self.counts.refused += 1,
            }
            // The database being away is no fault of the row, nor of those after it.
            if let Err(Wrong { code: UNAVAILABLE, detail }) = &result {
                output::print(&text)?;
                return Err(failed(format!("stopped at line {line}: {detail}. Run the same file again")));
            }
            self.report(&mut text, line, username.as_deref(), result);
        }
        self.progress.clear();
        output::print(&text)?;
        self.progress.show(self.counts.rows, self.counts.refused);
        Ok(())
    }

    async fn draft(&mut self, row: Row) -> Result<(User, Option<String>), Wrong> {
        let new = NewUser {
            username: row.username,
            email: row.email,
            email_verified: row.email_verified,
            roles: row.roles,
        };
        let draft = self.operator.draft(&new)?;
        if self.dry_run {
            self.operator.check_import(&draft, row.password_hash.as_deref()).await?;
            let earlier = |code, what| Err(Wrong { code, detail: format!("an earlier row has this {what}") });
            if !self.names.insert(draft.username.canonical()) {
                return earlier("username_taken", "user name");
            }
            if draft.email.as_ref().is_some_and(|email| !self.emails.insert(email.canonical())) {
                return earlier("email_taken", "e-mail address");
            }
        }
        Ok((draft, row.password_hash))
    }

    fn report(&self, text: &mut String, line: u64, username: Option<&str>, result: Result<(), Wrong>) {
        let status = match (&result, self.dry_run) {
            (Ok(()), true) => "would_be_imported",
            (Ok(()), false) => "imported",
            (Err(_), _) => "refused",
        };
        let wrong = result.err();
        if self.json {
            let report = Report {
                line,
                username,
                status,
                error: wrong.as_ref().map(|wrong| wrong.code),
                detail: wrong.map(|wrong| wrong.detail),
            };
            text.push_str(&serde_json::to_string(&report).unwrap_or_default());
            text.push('\n');
            return;
        }
        let name = username.map_or_else(String::new, |name| format!(" {}", clean(name)));
        match wrong {
            Some(wrong) => {
                text.push_str(&format!(
                    "line {line}{name}: {} {}\n",
                    paint(BAD, "refused:"),
                    clean(&wrong.detail)
                ));
            }
            None if self.dry_run => {
                text.push_str(&format!("line {line}{name}: {}\n", paint(GOOD, "would be imported")));
            }
            None => {}
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.progress.clear();
        let Counts { rows, imported, refused } = self.counts;
        if self.json {
            output::print(&format!("{}\n", serde_json::to_string(&self.counts).map_err(failed)?))?;
        } else {
            let done = if self.dry_run { "would be imported" } else { "imported" };
            output::say(match rows {
                0 => "There are no rows in this file.".to_owned(),
                _ => format!("{rows} rows: {imported} {done}, {refused} refused."),
            })?;
        }
        if refused == 0 { Ok(()) } else { Err(Failure::Silent) }
    }
}

impl From<OperatorError> for Wrong {
    fn from(error: OperatorError) -> Self {
        Self { code: error.code(), detail: error.to_string() }
    }
}
