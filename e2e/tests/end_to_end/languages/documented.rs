//! `docs/resource-servers.md` shows the examples as they are, and the figures that were measured; `UPDATE=1` writes
//! both anew.

use std::path::PathBuf;

use e2e::root;

const MEASURED: &str = "<!-- measured by e2e/tests/end_to_end/languages; UPDATE=1 writes it anew -->\n";
const FILE: &str = "<!-- file: ";

/// Lines of code of a server: without imports, comments and lines of nothing but brackets.
const MOST_LINES: usize = 39;

fn path() -> PathBuf {
    root().join("docs/resource-servers.md")
}

fn updates() -> bool {
    std::env::var_os("UPDATE").is_some()
}

#[test]
fn the_document_shows_the_examples_as_they_are() {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut parts = text.split(FILE);
    let mut written = parts.next().unwrap().to_owned();
    let mut shown = 0;
    for part in parts {
        let (file, rest) = part.split_once(" -->\n").expect("a path");
        let source =
            std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let lines = lines_of_code(&source);
        assert!((15..=MOST_LINES).contains(&lines), "{file} has {lines} lines");
        let kind = file.rsplit('.').next().unwrap().replace("mjs", "js");
        // What stands there now, if anything does.
        let rest = match rest.strip_prefix("```") {
            Some(block) => block.split_once("\n```\n").expect("an end of the block").1,
            None => rest,
        };
        written += &format!("{FILE}{file} -->\n```{kind}\n{}\n```\n{rest}", source.trim_end());
        shown += 1;
    }
    assert_eq!(shown, super::fleet::LANGUAGES.len());
    if updates() {
        std::fs::write(path(), written).unwrap();
    } else {
        assert!(text == written, "docs/resource-servers.md shows another file: run this test with UPDATE=1");
    }
}

/// The followers are to be copied: each says what it needs and under what licence, and needs nothing else.
#[test]
fn the_followers_need_nothing() {
    let standard: [(&str, &str, &[&str]); 4] = [
        ("node/jotgate-feed.mjs", "import ", &[]),
        (
            "python/jotgate_feed.py",
            "import ",
            &[
                "import contextlib",
                "import http.client",
                "import json",
                "import random",
                "import socket",
                "import ssl",
                "import sys",
                "import threading",
                "import time",
                "import urllib.parse",
            ],
        ),
        ("go/jotgatefeed/jotgate_feed.go", "\t\"", &[]),
        ("java/src/main/java/notes/JotgateFeed.java", "import ", &["import java."]),
    ];
    for (file, import, allowed) in standard {
        let source = std::fs::read_to_string(root().join("examples/resource-servers").join(file)).unwrap();
        assert!(source.contains("SPDX-License-Identifier: Apache-2.0 OR MIT"), "{file}");
        for line in source.lines().filter(|line| line.starts_with(import)) {
            // A package of Go's standard library has no host in its path.
            let of_go = file.ends_with(".go") && !line.contains('.');
            assert!(of_go || allowed.iter().any(|start| line.starts_with(start)), "{file}: {line}");
        }
    }
}

fn lines_of_code(source: &str) -> usize {
    let mut imports = false;
    let counts = |line: &str| {
        let line = line.trim();
        if line == "import (" || (imports && line == ")") {
            imports = line == "import (";
            return false;
        }
        let comment = ["//", "/*", "*", "# ", "\"\"\""].iter().any(|sign| line.starts_with(sign));
        let import = ["import ", "from ", "use ", "package "].iter().any(|word| line.starts_with(word));
        let brackets = line.chars().all(|one| "()[]{},;".contains(one));
        !(imports || comment || import || brackets)
    };
    source.lines().map(counts).filter(|counts| *counts).count()
}

/// The documented table has these rows; `UPDATE=1` writes this run's figures.
pub(super) fn check_table(table: &str) {
    let text = std::fs::read_to_string(path()).unwrap();
    let (before, rest) = text.split_once(MEASURED).expect("the place of the table");
    let end = rest.find("\n\n").map_or(rest.len(), |at| at + 1);
    let (documented, after) = rest.split_at(end);
    if updates() {
        std::fs::write(path(), format!("{before}{MEASURED}{table}{after}")).unwrap();
        return;
    }
    let names = |table: &str| -> Vec<String> {
        table.lines().map(|line| line.split('|').nth(1).unwrap_or_default().trim().to_owned()).collect()
    };
    // A language that is left out here is documented all the same.
    let documented = names(documented);
    for name in names(table) {
        assert!(documented.contains(&name), "{name}: run this test with UPDATE=1");
    }
}
