//! Flags > environment > file > defaults. Everything comes in as values, every mistake goes out at once.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::Config;
use super::keys::{self, Default, Key, Set};
use super::parse::{self, Value};
use super::providers;
use super::rules::{RULES, Severity};

/// Where settings come from.
#[expect(missing_debug_implementations, reason = "the environment has secrets in it")]
pub struct Input<'a> {
    pub flags: Vec<Flag>,
    /// All variables; those that do not begin with `JOTGATE_` are left alone.
    pub environment: Vec<(OsString, OsString)>,
    pub file: Option<File>,
    /// Reads a file that a `_FILE` form names.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A setting on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As it was typed, for messages: `--token-access-ttl`, `--set`.
    pub typed: String,
    /// Name of the key.
    pub key: String,
    /// More than one only where the key is a list.
    pub values: Vec<String>,
}

/// The text of `jotgate.toml`.
#[derive(Clone, Debug)]
pub struct File {
    pub path: PathBuf,
    pub text: String,
}

/// A configuration that holds together.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Every key in the order of the table, with its value and where that comes from.
    pub settings: Vec<Setting>,
    /// What works and should not stay so.
    pub warnings: Vec<Problem>,
}

/// One key as it stands, for `config show`.
#[derive(Clone, Debug)]
pub struct Setting {
    pub key: String,
    /// As it would be written in the file; secrets masked; of a default that is made of other keys, how.
    pub value: String,
    pub source: Source,
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File {
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// The variable's name.
    Environment(String),
    /// The flag as it was typed.
    Flag(String),
}

/// One mistake, or one warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// None where no key can be told: the file is not TOML.
    pub key: Option<String>,
    pub source: Source,
    /// A sentence without its full stop.
    pub message: String,
}

/// Every mistake there is; never empty.
#[derive(Clone, Debug)]
pub struct Invalid {
    pub problems: Vec<Problem>,
    /// Warnings about what could be read.
    pub warnings: Vec<Problem>,
}

/// Makes the configuration.
///
/// # Errors
/// [`Invalid`], with every mistake: unknown keys, values that cannot be read, rules between keys that are broken.
pub fn load(input: &Input<'_>) -> Result<Loaded, Invalid> {
    let mut found = Found::default();
    if let Some(file) = &input.file {
        found.read_file(file, input.read);
    }
    found.read_environment(&input.environment, input.read);
    found.read_flags(&input.flags, input.read);

    let mut config = Config::default();
    let mut bad: HashSet<&str> = HashSet::new();
    for (name, set) in &found.set {
        if let Err(expected) = set.apply(&mut config) {
            bad.insert(set.key.name);
            let got = if set.key.secret { String::new() } else { format!(", got {}", set.value.shown()) };
            found.problems.push(Problem {
                key: Some(name.clone()),
                source: set.source.clone(),
                message: format!("expected {expected}{got}"),
            });
        }
    }

    let mut warnings = Vec::new();
    for rule in RULES {
        if rule.keys.iter().any(|key| bad.contains(key)) {
            continue;
        }
        let Some(message) = (rule.broken)(&config) else { continue };
        // Told of the first of its keys that somebody set: that is where to look.
        let (key, source) = rule
            .keys
            .iter()
            .find_map(|key| found.set.iter().find(|(_, set)| set.key.name == *key))
            .map(|(name, set)| (name.as_str(), set.source.clone()))
            .unwrap_or((rule.keys.first().copied().unwrap_or_default(), Source::Default));
        let problem = Problem { key: Some(key.to_owned()), source, message };
        match rule.severity {
            Severity::Refuse => found.problems.push(problem),
            Severity::Warn => warnings.push(problem),
        }
    }
    if !keys::all().any(|key| key.name.starts_with("providers.") && bad.contains(key.name)) {
        for (key, message) in providers::broken(&config) {
            let source = found.source_near(&key);
            found.problems.push(Problem { key: Some(key), source, message });
        }
    }
    if found.problems.is_empty() {
        Ok(Loaded { config, settings: found.settings(), warnings })
    } else {
        Err(Invalid { problems: found.problems, warnings })
    }
}

/// The value of a key that somebody set.
struct SetKey {
    key: &'static Key,
    /// What stands for `NAME` in the key's name.
    name: String,
    value: Value,
    source: Source,
}

impl SetKey {
    fn apply(&self, config: &mut Config) -> Result<(), String> {
        // Takes the default back that a lower layer had changed.
        if matches!(&self.value, Value::Text(text) if text == "none") && self.key.default == Default::None {
            return Ok(());
        }
        match self.key.set {
            Set::Plain(set) => set(config, &self.value),
            Set::Named(set) => set(config, &self.name, &self.value),
        }
    }
}

#[derive(Default)]
struct Found {
    /// By full name; a later layer replaces an earlier one.
    set: BTreeMap<String, SetKey>,
    problems: Vec<Problem>,
}

impl Found {
    fn problem(&mut self, key: impl Into<String>, source: Source, message: impl Into<String>) {
        self.problems.push(Problem { key: Some(key.into()), source, message: message.into() });
    }

    /// Takes a value under its full name; also `…_file` for a secret. False where there is no such key.
    fn put(
        &mut self,
        full: &str,
        value: Value,
        source: Source,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> bool {
        if let Some((key, name)) = find(full) {
            self.set.insert(full.to_owned(), SetKey { key, name, value, source });
            return true;
        }
        let plain = full.strip_suffix("_file").unwrap_or_default();
        let Some((key, name)) = find(plain).filter(|(key, _)| key.secret) else { return false };
        let Value::Text(path) = &value else {
            self.problem(full, source, "expected the path of a file with the value in it");
            return true;
        };
        if self.set.get(plain).is_some_and(|set| set.source.same_layer(&source)) {
            self.problem(full, source, format!("{plain} is set as well: one of the two"));
            return true;
        }
        match read(Path::new(path)) {
            Ok(text) => {
                // Editors and `echo` end a file with a new line that is no part of the secret.
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let value = Value::Text(text.strip_suffix('\r').unwrap_or(text).to_owned());
                self.set.insert(plain.to_owned(), SetKey { key, name, value, source });
            }
            Err(error) => self.problem(full, source, format!("cannot read {}: {error}", parse::shown(path))),
        }
        true
    }

    fn read_file(&mut self, file: &File, read: &dyn Fn(&Path) -> io::Result<String>) {
        let at = |offset: usize| Source::File {
            path: file.path.clone(),
            line: file.text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1,
        };
        let (table, errors) = DeTable::parse_recoverable(&file.text);
        let broken = !errors.is_empty();
        for error in errors {
            let source = at(error.span().map_or(0, |span| span.start));
            self.problems.push(Problem {
                key: None,
                source,
                message: format!("not TOML: {}", error.message()),
            });
        }
        if broken {
            // Whatever stands behind the mistake is in a section that nobody meant.
            return;
        }
        let mut leaves = Vec::new();
        flatten(table.get_ref(), &mut Vec::new(), &mut leaves);
        leaves.sort_by_key(|leaf| leaf.offset);
        for Leaf { path, value, offset } in leaves {
            let full = path.join(".");
            let source = at(offset);
            // A dot inside quotes is part of a name, which only a role can have.
            let exact = match path.as_slice() {
                [first, rest @ ..] if NAMED.contains(&first.as_str()) => rest.len() == 2,
                parts => !parts.iter().any(|part| part.contains('.')),
            };
            let taken = exact && self.put(&full, value, source.clone(), read);
            if !taken {
                let message = if !exact && find(&full).is_some() {
                    "quotes make one name of it: write it without them".to_owned()
                } else {
                    unknown(&full, |key| key.name.to_owned())
                };
                self.problem(full, source, message);
            }
        }
    }

    fn read_environment(
        &mut self,
        environment: &[(OsString, OsString)],
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) {
        let kubernetes = environment.iter().any(|(name, _)| name == "JOTGATE_SERVICE_HOST");
        let mut variables: Vec<_> = environment.iter().collect();
        variables.sort();
        for (name, value) in variables {
            let name = name.to_string_lossy();
            if !name.starts_with("JOTGATE_")
                || name == "JOTGATE_CONFIG"
                || (kubernetes && is_service_link(&name))
            {
                continue;
            }
            let source = Source::Environment(name.clone().into_owned());
            let full = self.key_of_variable(&name);
            let Some(value) = value.to_str() else {
                self.problem(full.unwrap_or_else(|| name.into_owned()), source, "expected text in UTF-8");
                continue;
            };
            let Some(full) = full else {
                let message = unknown(&name, Key::variable);
                self.problem(name.into_owned(), source, message);
                continue;
            };
            // Compose files and units write `NAME=` for what they leave open.
            if !value.is_empty() {
                self.put(&full, Value::Text(value.to_owned()), source, read);
            }
        }
    }

    /// `token.access_ttl` for `JOTGATE_TOKEN_ACCESS_TTL`.
    fn key_of_variable(&self, variable: &str) -> Option<String> {
        let plain = |variable: &str| {
            keys::all().find(|key| matches!(key.set, Set::Plain(_)) && key.variable() == variable)
        };
        if let Some(key) = plain(variable) {
            return Some(key.name.to_owned());
        }
        if let Some(key) = variable.strip_suffix("_FILE").and_then(plain).filter(|key| key.secret) {
            return Some(format!("{}_file", key.name));
        }
        let named = keys::all().filter(|key| matches!(key.set, Set::Named(_)));
        named.into_iter().find_map(|key| self.named_key_of(key, variable))
    }

    /// The same for a key with a name in it.
    fn named_key_of(&self, key: &Key, variable: &str) -> Option<String> {
        let form = key.variable();
        let (before, after) = form.split_once("NAME")?;
        let rest = variable.strip_prefix(before)?;
        let (written, file) = match rest.strip_suffix("_FILE").filter(|_| key.secret) {
            Some(rest) => (rest.strip_suffix(after)?, "_file"),
            None => (rest.strip_suffix(after)?, ""),
        };
        let section = key.name.split('.').next();
        let same = |name: &str| name.to_uppercase().replace(['.', ':', '-'], "_") == written;
        // The environment cannot say which of `-._:` or which case was meant: a name of the file decides.
        let known = self
            .set
            .values()
            .filter(|set| set.key.name.split('.').next() == section)
            .map(|set| set.name.as_str())
            .find(|name| same(name));
        let name = known.map_or_else(|| written.to_lowercase(), str::to_owned);
        (!name.is_empty()).then(|| format!("{}{file}", key.name.replace("NAME", &name)))
    }

    /// Where the key was set, or else another of its section.
    fn source_near(&self, key: &str) -> Source {
        let section = key.rsplit_once('.').map_or(key, |(section, _)| section);
        let near =
            || self.set.iter().find(|(name, _)| name.rsplit_once('.').is_some_and(|(s, _)| s == section));
        let found = self.set.get(key).or_else(|| near().map(|(_, set)| set));
        found.map_or(Source::Default, |set| set.source.clone())
    }

    fn read_flags(&mut self, flags: &[Flag], read: &dyn Fn(&Path) -> io::Result<String>) {
        for Flag { typed, key, values } in flags {
            let source = Source::Flag(typed.clone());
            let value = match values.as_slice() {
                [one] => Value::Text(one.clone()),
                many => Value::List(
                    many.iter().flat_map(|value| value.split(',')).map(|s| s.trim().to_owned()).collect(),
                ),
            };
            if !self.put(key, value, source.clone(), read) {
                self.problem(key.clone(), source, unknown(key, |key| key.name.to_owned()));
            }
        }
    }

    fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for key in keys::all() {
            let mut set = self.set.iter().filter(|(_, set)| std::ptr::eq(set.key, key)).peekable();
            if set.peek().is_none() && matches!(key.set, Set::Plain(_)) {
                let value = match key.default {
                    Default::Value(text) => plain_default(text),
                    Default::None => "none".to_owned(),
                    Default::Derived(how) => how.replace('`', ""),
                };
                settings.push(Setting { key: key.name.to_owned(), value, source: Source::Default });
            }
            settings.extend(set.map(|(name, set)| Setting {
                key: name.clone(),
                value: match (key.secret, key.name) {
                    (true, "database_url") => mask(&set.value),
                    (true, _) => MASK.to_owned(),
                    (false, _) => set.value.shown(),
                },
                source: set.source.clone(),
            }));
        }
        settings
    }
}

impl Source {
    fn same_layer(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// The row of a full name, and what stands for `NAME`.
fn find(full: &str) -> Option<(&'static Key, String)> {
    keys::all().find_map(|key| match key.set {
        Set::Plain(_) => (key.name == full).then(|| (key, String::new())),
        Set::Named(_) => {
            let (before, after) = key.name.split_once("NAME")?;
            let name = full.strip_prefix(before)?.strip_suffix(after)?;
            (!name.is_empty()).then(|| (key, name.to_owned()))
        }
    })
}

/// A default as [`Value::shown`] would print it.
fn plain_default(text: &str) -> String {
    let bare = text == "true" || text == "false" || text.bytes().all(|b| b.is_ascii_digit());
    if bare { text.to_owned() } else { parse::shown(text) }
}

const MASK: &str = "********";

/// Hides the password of a URL, and anything that is no URL whole.
fn mask(value: &Value) -> String {
    let Value::Text(text) = value else { return MASK.to_owned() };
    let Some((scheme, rest)) = text.split_once("://") else { return MASK.to_owned() };
    // The last `@`, since one in a password may stand unescaped.
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            parse::shown(&format!("{scheme}://{user}:{MASK}@{}", without_password(host)))
        }
        None => parse::shown(&without_password(text)),
    }
}

/// Also where it was tried as a parameter.
fn without_password(url: &str) -> String {
    match url.split_once('?') {
        Some((place, query)) if query.to_ascii_lowercase().contains("password") => {
            format!("{place}?********")
        }
        _ => url.to_owned(),
    }
}

struct Leaf {
    path: Vec<String>,
    value: Value,
    offset: usize,
}

fn flatten(table: &DeTable<'_>, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        let leaf = match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                flatten(inner, path, leaves);
                None
            }
            DeValue::Table(_) if is_section(&path.join(".")) => None,
            DeValue::Table(_) => Some(Value::Other("an empty table")),
            DeValue::String(text) => Some(Value::Text(text.to_string())),
            DeValue::Integer(number) => Some(
                i64::from_str_radix(number.as_str(), number.radix())
                    .map_or(Value::Other("a huge number"), Value::Integer),
            ),
            DeValue::Boolean(value) => Some(Value::Bool(*value)),
            DeValue::Array(items) => {
                let texts: Option<Vec<String>> =
                    items.iter().map(|i| i.get_ref().as_str().map(str::to_owned)).collect();
                Some(texts.map_or(Value::Other("a list with something else than strings in it"), Value::List))
            }
            DeValue::Float(_) => Some(Value::Other("a number with a fraction")),
            DeValue::Datetime(_) => Some(Value::Other("a date")),
        };
        if let Some(value) = leaf {
            leaves.push(Leaf { path: path.clone(), value, offset: key.span().start });
        }
        path.pop();
    }
}

/// Sections of which each has a name that the operator chooses.
const NAMED: [&str; 4] = ["roles", "providers", "rules", "webhooks"];

fn is_section(name: &str) -> bool {
    keys::all().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        // A rule without a key would be for no host: more likely a slip.
        || name.split_once('.').is_some_and(|(section, rest)| {
            section != "rules" && NAMED.contains(&section) && !rest.is_empty()
        })
}

/// What to say of a name that is none of ours, with the nearest that is.
fn unknown(name: &str, form: impl Fn(&Key) -> String) -> String {
    if name == "roles" || name.starts_with("roles.") {
        return "is a section, not a key; write roles.NAME.permissions".to_owned();
    }
    let section = name.split('.').next().unwrap_or_default();
    if ["webhooks", "providers"].contains(&section) {
        let before = format!("{section}.NAME.");
        let keys: Vec<&str> = keys::all().filter_map(|key| key.name.strip_prefix(&before)).collect();
        return format!("is no key; write {before} and one of {}", keys.join(", "));
    }
    if let Some(rest) = name.strip_prefix("rules.").or((name == "rules").then_some("")) {
        let (rule, key) = rest.split_once('.').unwrap_or((rest, ""));
        let keys = keys::all().filter_map(|key| key.name.strip_prefix("rules.NAME."));
        let rule = if rule.is_empty() { "NAME" } else { rule };
        return match keys.clone().min_by_key(|known| strsim::osa_distance(known, key)) {
            Some(nearest) if !key.is_empty() => {
                format!("there is no such key; the nearest is rules.{rule}.{nearest}")
            }
            _ => format!(
                "is a section, not a key; its keys are {}",
                keys.map(|key| format!("rules.{rule}.{key}")).collect::<Vec<_>>().join(", ")
            ),
        };
    }
    if is_section(name) {
        let keys: Vec<&str> =
            keys::all().map(|key| key.name).filter(|key| key.starts_with(&format!("{name}."))).collect();
        return format!("is a section, not a key; its keys are {}", keys.join(", "));
    }
    let nearest =
        keys::all().map(form).min_by_key(|known| strsim::osa_distance(known, name)).unwrap_or_default();
    format!("there is no such key; the nearest is {nearest}")
}

/// What Kubernetes sets in every pod beside a Service that is called `jotgate`.
fn is_service_link(variable: &str) -> bool {
    let Some(rest) = variable.strip_prefix("JOTGATE_") else { return false };
    rest == "SERVICE_HOST"
        || rest == "PORT"
        || rest == "SERVICE_PORT"
        || rest.starts_with("SERVICE_PORT_")
        || rest.strip_prefix("PORT_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, &self.source) {
            (None, source) => write!(f, "{source}: {}", self.message),
            (Some(key), Source::Environment(name)) if name == key => write!(f, "{key}: {}", self.message),
            (Some(key), source) => write!(f, "{key} ({source}): {}", self.message),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests;
