//! The JOSE library and the verifier's cache: their own benchmarks, run, and held against the bars.

use std::process::Command;

use crate::Settings;
use crate::program::Outcome;
use crate::report::{Bar, Figures, Part, Row};

/// How much more than the bare primitive: verification with the whole policy and the typed claims, and signing.
const TIMES: [(&str, f64, f64); 4] =
    [("HS256", 2.5, 1.9), ("RS256", 1.05, 1.03), ("ES256", 1.05, 1.05), ("EdDSA", 1.05, 1.05)];
/// The same in instructions.
const INSTRUCTIONS: [f64; 2] = [11_000.0, 6000.0];

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    let rounds = if settings.quick { "3" } else { "61" };
    let speed = bench("jotgate-jose", "speed", &["--tsv", rounds])?;
    let (mut figures, mut rows) = (Vec::new(), Vec::new());
    for line in speed.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [alg, "1", what, name, median, _, of_medians, of_minima, allocations] = fields[..] else {
            continue;
        };
        let ours = if name.contains("jsonwebtoken") || name == "bare" { "" } else { "Jotgate " };
        figures.push(Figures::one(&format!("{ours}{what} {alg}, {name}"), "ns", median.parse()?));
        let bars = TIMES.iter().find(|(name, ..)| *name == alg);
        let bar = match name {
            "verify_in, claims borrowed" => bars.map(|(_, verify, _)| *verify),
            "sign_into" => bars.map(|(.., sign)| *sign),
            _ => None,
        };
        if let Some(bar) = bar {
            let note = format!("{median} ns; ratio of the minima {of_minima}");
            let what = format!("{what} {alg} against the bare primitive");
            rows.push(Row::figure(&what, of_medians.parse()?, "×", Some(Bar::AtMost(bar)), &note));
            if alg == "HS256" && name.starts_with("verify") {
                let what = "allocations of a verification, HS256";
                let note = "the caller's buffer is borrowed";
                rows.push(Row::figure(what, allocations.parse()?, "", Some(Bar::AtMost(0.0)), note));
            }
        }
    }
    if rows.is_empty() {
        return Err(format!("the benchmark of jotgate-jose printed no figures:\n{speed}").into());
    }
    rows.extend(instructions(settings)?);
    cache(&mut rows)?;
    let about = format!(
        "`jotgate-jose` on an access token as the server makes it, beside the bare primitive of aws-lc-rs on the same \
         bytes, with the key parsed; {rounds} interleaved rounds, one thread. `jotgate-verify` with 10,000 tokens in its \
         cache, asked for in random order."
    );
    Ok(Part { name: "jose", title: "JOSE library", about, rows, figures })
}

/// Instructions beyond the primitive.
fn instructions(settings: &Settings) -> Outcome<Vec<Row>> {
    if settings.quick {
        return Ok(Vec::new());
    }
    let counted = bench("jotgate-jose", "instructions", &["--tsv"])?;
    let mut rows = Vec::new();
    for line in counted.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [alg, verify, _, sign] = fields[..] else { continue };
        for ((what, count), bar) in [("verify", verify), ("sign", sign)].into_iter().zip(INSTRUCTIONS) {
            let what = format!("{what} {alg}, instructions beyond the primitive");
            rows.push(Row::figure(&what, count.parse()?, "", Some(Bar::AtMost(bar)), "callgrind"));
        }
    }
    if rows.is_empty() {
        rows.push(Row::left_out("instructions beyond the primitive", counted.trim()));
    }
    Ok(rows)
}

/// What a hit takes on one thread, beside a look-up that checks nothing, and what two threads gain.
fn cache(rows: &mut Vec<Row>) -> Outcome<()> {
    let printed = bench("jotgate-verify", "cache", &[])?;
    let number = |begins: &str| -> Outcome<f64> {
        let line = printed.lines().find_map(|line| line.strip_prefix(begins));
        let word = line.and_then(|line| line.split_whitespace().next());
        Ok(word.ok_or_else(|| format!("no line `{begins}`: {printed}"))?.parse()?)
    };
    let hit = number("hit, 1 thread:")?;
    let plain = number("HashMap, 1 thread:")?;
    rows.push(Row::figure(
        "a token in the cache of 10,000",
        hit,
        "ns",
        Some(Bar::AtMost(350.0)),
        &format!("one thread; {plain} ns a look-up in a `HashMap`, which checks nothing"),
    ));
    let gain = number("two threads do")?;
    rows.push(Row::figure("the same on two threads", gain, "×", Some(Bar::AtLeast(1.3)), "against one"));
    Ok(())
}

/// What a benchmark prints; it is built first.
fn bench(package: &str, name: &str, arguments: &[&str]) -> Outcome<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["bench", "--quiet", "--locked", "--package", package, "--bench", name, "--"])
        .args(arguments);
    let run = command.output()?;
    if !run.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    Ok(String::from_utf8(run.stdout)?)
}
