//! The configuration as a command gets it: its flags from the table of keys, and the one place where the
//! environment and `jotgate.toml` are read.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::error::{Failure, failed};
use crate::config::keys::{self, Default, Key};
use crate::config::{self, File, Flag, Input, Loaded, Source};

const HEADING: &str = "Configuration";
const FILE: &str = "jotgate.toml";

/// Flags for the configuration, of which `--help` shows those that say which installation is meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    file: Option<PathBuf>,
    flags: Vec<Flag>,
}

/// The same, all of them shown.
#[derive(Clone, Debug, Default)]
pub(super) struct AllSettings(pub(super) Settings);

impl Settings {
    /// Loads the configuration; warnings are for those who start a server or ask.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        self.try_load()?.map_err(|invalid| {
            // A flag is usage; a file or a variable lies there and fails.
            let usage = invalid.problems.iter().all(|problem| matches!(problem.source, Source::Flag(_)));
            let count = invalid.problems.len();
            let message = match count {
                1 => format!("the configuration has a mistake\n\n  {invalid}"),
                _ => format!(
                    "the configuration has {count} mistakes\n\n  {}",
                    invalid.to_string().replace('\n', "\n  ")
                ),
            };
            if usage { Failure::Usage(message) } else { Failure::Failed(message) }
        })
    }

    /// The same with the mistakes as a value.
    pub(super) fn try_load(&self) -> Result<Result<Loaded, config::Invalid>, Failure> {
        Ok(config::load(&Input {
            flags: self.flags.clone(),
            environment: std::env::vars_os().collect(),
            file: self.read_file()?,
            read: &|path| std::fs::read_to_string(path),
        }))
    }

    /// The file that counts: the one that is named, which has to be there, or `./jotgate.toml` if it is.
    fn read_file(&self) -> Result<Option<File>, Failure> {
        let named = self.file.clone().map(|path| (path, "--config")).or_else(|| {
            let path = std::env::var_os("JOTGATE_CONFIG").filter(|path| !path.is_empty())?;
            Some((PathBuf::from(path), "JOTGATE_CONFIG"))
        });
        let (path, by) = match &named {
            Some((path, by)) => (path.as_path(), Some(*by)),
            None => (Path::new(FILE), None),
        };
        match std::fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(File { path: path.to_owned(), text })),
                Err(_) => Err(failed(format!("{} is not text in UTF-8", path.display()))),
            },
            Err(error) if by.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let by = by.map_or_else(String::new, |by| format!(", which {by} names"));
                Err(failed(format!("cannot read {}{by}: {error}", path.display())))
            }
        }
    }
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        augment(command, |key| matches!(key.name, "data_dir" | "database_url"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl Args for AllSettings {
    fn augment_args(command: Command) -> Command {
        augment(command, |_| true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn augment(command: Command, shown: fn(&Key) -> bool) -> Command {
    let mut command = command.arg(
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .help("Configuration file [default: ./jotgate.toml if it is there] [env: JOTGATE_CONFIG]")
            .help_heading(HEADING)
            .value_parser(clap::value_parser!(PathBuf)),
    );
    for key in keys::all() {
        let Some(flag) = key.flag() else { continue };
        let default = match key.default {
            Default::Value(text) => format!(" [default: {text}]"),
            Default::Derived(how) => format!(" [default: {}]", plain(how)),
            Default::None => String::new(),
        };
        let mut arg = Arg::new(key.name)
            .long(flag)
            // As in the file, for those who copy from there.
            .alias(key.name)
            .value_name(value_name(key))
            .help(format!("{}{default}", plain(key.doc)))
            .help_heading(HEADING)
            .hide_short_help(!matches!(key.name, "listen" | "public_url" | "data_dir" | "database_url"))
            .hide(!shown(key))
            .action(if key.list { ArgAction::Append } else { ArgAction::Set });
        if key.is_switch() {
            arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
        }
        command = command.arg(arg);
        if key.secret {
            command = command.arg(
                Arg::new(format!("{}_file", key.name))
                    .long(format!("{}-file", key.flag().unwrap_or_default()))
                    .value_name("FILE")
                    .help(format!("File that holds {}", key.name))
                    .help_heading(HEADING)
                    .hide_short_help(true)
                    .hide(!shown(key)),
            );
        }
    }
    command.arg(
        Arg::new("set")
            .long("set")
            .value_name("KEY=VALUE")
            .help("Any key as in the file, such as roles.editor.permissions=read,write; can be repeated")
            .help_heading(HEADING)
            .hide_short_help(true)
            .action(ArgAction::Append)
            .value_parser(key_value),
    )
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Vec::new();
        let mut take = |id: &str, flag: String| {
            let values: Vec<String> = matches.get_many(id).into_iter().flatten().cloned().collect();
            if !values.is_empty() {
                flags.push(Flag { typed: format!("--{flag}"), key: id.to_owned(), values });
            }
        };
        for key in keys::all() {
            let Some(flag) = key.flag() else { continue };
            if key.secret {
                take(&format!("{}_file", key.name), format!("{flag}-file"));
            }
            take(key.name, flag);
        }
        for (key, value) in matches.get_many::<(String, String)>("set").into_iter().flatten() {
            flags.push(Flag { typed: "--set".to_owned(), key: key.clone(), values: vec![value.clone()] });
        }
        Ok(Self { file: matches.get_one("config").cloned(), flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl FromArgMatches for AllSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Settings::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "expected KEY=VALUE".to_owned())
}

fn value_name(key: &Key) -> &'static str {
    match key.takes.split([',', ' ', '`']).find(|word| !word.is_empty()) {
        Some("duration") => "DURATION",
        Some("path") => "PATH",
        Some("number") => "NUMBER",
        Some("origin") => "ORIGIN",
        Some("list" | "string") => "LIST",
        Some("domain") => "DOMAIN",
        Some("name") => "NAME",
        Some("levels") => "LEVELS",
        Some("ADDRESS:PORT") => "ADDRESS:PORT",
        Some("true") => "true|false",
        Some("HS256") => "ALG",
        Some("lax") => "lax|strict",
        Some("auto") => "auto|json|text",
        Some(url) if url.starts_with("sqlite") => "URL",
        _ => "VALUE",
    }
}

/// Markdown of one line, for a terminal.
fn plain(markdown: &str) -> String {
    markdown.replace('`', "")
}
