//! Forward-auth through real proxies, each with the configuration that is shipped for it in `examples/proxies`:
//! every proxy is put through the same list of cases.

mod backend;
mod cases;
mod envoy;
mod programs;
mod roots;
mod world;

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// What came of a case, or why it does not concern a proxy.
enum Outcome {
    Held,
    Failed(String),
    NotHere,
}

#[test]
fn a155_to_a167_hold_through_every_proxy() {
    let mut columns: Vec<(&str, Vec<Outcome>)> = Vec::new();
    for program in programs::ALL {
        let mut world = World::new();
        match program.start(&world) {
            Ok(running) => {
                let outcomes = cases::ALL.iter().map(|case| tried(|| (case.run)(&mut world))).collect();
                columns.push((program.name, outcomes));
                if matches!(columns.last(), Some((_, all)) if all.iter().any(|o| matches!(o, Outcome::Failed(_))))
                {
                    let _ = writeln!(std::io::stderr(), "--- {}:\n{}", program.name, running.said());
                }
            }
            Err(missing) => left_out(&program, &missing),
        }
    }
    let mut world = World::new();
    columns.push(("Envoy", envoy::outcomes(&mut world)));

    let table = table(&columns);
    // The harness hides what a passing test prints by macro; this is to be seen.
    let _ = writeln!(std::io::stderr(), "{table}");
    let failed: Vec<_> = columns
        .iter()
        .flat_map(|(name, outcomes)| {
            outcomes.iter().zip(cases::ALL).map(move |(outcome, case)| (name, outcome, case))
        })
        .filter_map(|(name, outcome, case)| match outcome {
            Outcome::Failed(why) => Some(format!("{name}: {}: {why}", case.name)),
            _ => None,
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn left_out(program: &programs::Program, missing: &str) {
    e2e::left_out(&format!("{} as a proxy", program.name), missing);
}

fn tried(case: impl FnOnce()) -> Outcome {
    match catch_unwind(AssertUnwindSafe(case)) {
        Ok(()) => Outcome::Held,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Outcome::Failed(
                text.or_else(|| panic.downcast_ref::<&str>().map(|&s| s.to_owned())).unwrap_or_default(),
            )
        }
    }
}

/// As Markdown: a line a case, a column a proxy.
fn table(columns: &[(&str, Vec<Outcome>)]) -> String {
    let mut text = "| case |".to_owned();
    for (name, _) in columns {
        let _ = write!(text, " {name} |");
    }
    let _ = write!(text, "\n|---|{}", "---|".repeat(columns.len()));
    for (row, case) in cases::ALL.iter().enumerate() {
        let _ = write!(text, "\n| {} |", case.name);
        for (_, outcomes) in columns {
            let word = match &outcomes[row] {
                Outcome::Held => "holds",
                Outcome::Failed(_) => "FAILED",
                Outcome::NotHere => "–",
            };
            let _ = write!(text, " {word} |");
        }
    }
    text
}
