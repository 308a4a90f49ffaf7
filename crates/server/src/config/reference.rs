//! `docs/configuration.md`, printed from the table of keys so that it cannot be out of date.

use std::fmt::Write as _;

use super::keys::{Default, Key, SECTIONS};

const INTRODUCTION: &str = "\
<!-- Printed from the table in crates/server/src/config/keys. To change it, change the table, then run
     UPDATE=1 cargo test -p jotgate --lib config::reference -->

# Configuration

Nothing has to be configured for a first try on one machine. For anything else, set at least `public_url`.

A key can be set in three ways; the first that is there counts:

1. a flag: `--token-access-ttl 5m`, or `--set token.access_ttl=5m`
2. an environment variable: `JOTGATE_TOKEN_ACCESS_TTL=5m`
3. `jotgate.toml`: in the directory that the program is started in, or where `--config FILE` or
   `JOTGATE_CONFIG` says

```toml
public_url = \"https://auth.example.com\"
trusted_proxies = [\"10.0.0.7\"]

[token]
access_ttl = \"5m\"

[roles.editor]
permissions = [\"articles:read\", \"articles:write\"]
```

`jotgate config check` says what is wrong, every mistake at once and where it was made; `jotgate config show`
prints each key with its value and where that comes from. A key that does not exist is an error, in the file and
in the environment alike (variables that begin with `JOTGATE_`; those that Kubernetes sets for a Service called
`jotgate` are left alone). An empty variable counts as not set.

Durations are numbers with a unit: `90s`, `10m`, `12h`, `14d`, `1h30m`. Lists are lists of strings in the file; in
the environment, items with commas between them; a flag can be repeated. Where the default is *none*, `none` takes
back what a file has set.

A secret also has a form with `_FILE` at the end, which names a file that holds it: `JOTGATE_DATABASE_URL_FILE`, or
`database_url_file` in `jotgate.toml`.

The server reads its configuration when it starts. The files of `tls.cert` and `tls.key` are read again when they
change.
";

/// The whole page, as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let _ = write!(page, "\n## {}\n", section.heading);
        section.keys.iter().for_each(|key| entry(&mut page, key));
    }
    page
}

fn entry(page: &mut String, key: &Key) {
    let default = match key.default {
        Default::Value(text) => format!("`{text}`"),
        Default::None => "*none*".to_owned(),
        Default::Derived(how) => how.to_owned(),
    };
    let flag = key.flag().map_or_else(String::new, |flag| format!(" · `--{flag}`"));
    let secret = if key.secret { format!(" · `{}_FILE`", key.variable()) } else { String::new() };
    let _ = write!(
        page,
        "\n### `{}`\n\n{}\n\n- takes: {}\n- default: {default}\n- also: `{}`{secret}{flag}\n",
        key.name,
        key.doc,
        key.takes,
        key.variable(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE=1` writes the page instead of comparing it.
    #[test]
    fn the_page_in_docs_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = markdown();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page,
            "docs/configuration.md is out of date: UPDATE=1 cargo test -p jotgate --lib config::reference"
        );
    }
}
