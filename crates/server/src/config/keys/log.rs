//! What is logged, and how.

use super::{Default, Key, Section, Set};
use crate::config::LogFormat;

pub(super) static SECTION: Section = Section {
    heading: "Logs",
    keys: &[
        Key {
            name: "log.filter",
            default: Default::Value("info"),
            takes: "levels",
            doc: "What is logged to standard error: `error`, `warn`, `info`, `debug`, `trace`, also by part: `info,jotgate::http=debug`.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                const EXPECTED: &str = "a level (error, warn, info, debug, trace, off), or levels by part such as info,jotgate::http=debug";
                let text = value.text(EXPECTED)?;
                let parsed = tracing_subscriber::EnvFilter::builder().parse(text);
                if text.trim().is_empty() || parsed.is_err() {
                    return Err(EXPECTED.to_owned());
                }
                text.clone_into(&mut config.log.filter);
                Ok(())
            }),
        },
        Key {
            name: "log.format",
            default: Default::Value("auto"),
            takes: "`auto` `json` `text`",
            doc: "`auto` is text where standard error is a terminal, else JSON, one object a line.",
            secret: false,
            list: false,
            set: Set::Plain(|config, value| {
                config.log.format = value.choice(&[
                    ("auto", LogFormat::Auto),
                    ("json", LogFormat::Json),
                    ("text", LogFormat::Text),
                ])?;
                Ok(())
            }),
        },
    ],
};
