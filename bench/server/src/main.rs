//! The server measured from outside: `cargo xtask bench` builds what this needs and runs it.
//!
//! Everything in one comparison runs in one process's sight and in rounds that take turns, so that whatever else the
//! machine does falls on all alike; the load runs on the same cores. Figures are medians over the rounds, and their
//! least and most are shown beside them.

mod bare;
mod clients;
mod fill;
mod instructions;
mod load;
mod measure;
mod page;
mod peers;
mod plan;
mod plot;
mod program;
mod report;
mod rows;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use program::Outcome;
use report::Part;

/// How long and how often, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) binary: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
    pub(crate) quick: bool,
    /// Where the peers are installed, a folder each.
    pub(crate) peers: PathBuf,
    /// Peers that could not be had here, and why.
    pub(crate) missing: Vec<(String, String)>,
}

const HELP: &str = "\
bench-server [OPTIONS]
bench-server [--jotgate FILE] instructions [--update]

  --jotgate FILE     the binary (target/release/jotgate)
  --quick            one short round each: whether it runs, not how fast; without jose and peers
  --only PART        this part alone (may be repeated)
  --rounds N         rounds that take turns (7)
  --out DIR          writes results.md, results.json and a picture of each part there
  --page FILE        fills in what stands between the marks of this page (may be repeated)
  --peers DIR        where the peers are installed (target/bench-peers)
  --missing NAME=WHY a peer that could not be installed
  --list             name the parts

`instructions` counts those of the hot paths by callgrind, and holds them against bench/instructions.tsv.
";

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut settings = Settings {
        binary: "target/release/jotgate".into(),
        rounds: 7,
        round: Duration::from_secs(2),
        quick: false,
        peers: "target/bench-peers".into(),
        missing: Vec::new(),
    };
    let (mut only, mut out, mut pages) = (Vec::new(), None, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "serve" => return runtime()?.block_on(async { Ok(bare::serve(&value()?).await?) }),
            "instructions" => {
                return instructions::compare(&settings.binary, &arguments.collect::<Vec<_>>());
            }
            "work" => return instructions::work(&value()?, value()?.parse()?),
            "--jotgate" => settings.binary = value()?.into(),
            "--quick" => {
                settings = Settings { rounds: 1, round: Duration::from_millis(300), quick: true, ..settings };
            }
            "--only" => only.push(value()?),
            "--rounds" => settings.rounds = value()?.parse()?,
            "--out" => out = Some(PathBuf::from(value()?)),
            "--page" => pages.push(PathBuf::from(value()?)),
            "--peers" => settings.peers = value()?.into(),
            "--missing" => {
                let text = value()?;
                let (name, why) = text.split_once('=').ok_or("--missing wants NAME=WHY")?;
                settings.missing.push((name.to_owned(), why.to_owned()));
            }
            "--list" => {
                measure::CHAPTERS.iter().for_each(|chapter| println!("{}", chapter.name));
                return Ok(());
            }
            "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            _ => return Err(format!("there is no option `{argument}`\n\n{HELP}").into()),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !measure::CHAPTERS.iter().any(|one| one.name == **name)) {
        return Err(format!("there is no part `{unknown}` (see --list)").into());
    }
    let (parts, failed) = measured(&settings, &only)?;
    let machine = format!("{}; {} rounds of {} s", machine()?, settings.rounds, settings.round.as_secs());
    if let Some(folder) = out {
        write(&folder, &machine, &parts)?;
    }
    for page in pages {
        std::fs::write(&page, page::filled(&std::fs::read_to_string(&page)?, &machine, &parts)?)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}

/// What was measured, and what failed: that must not take the rest with it.
fn measured(settings: &Settings, only: &[String]) -> Outcome<(Vec<Part>, Vec<String>)> {
    std::fs::create_dir_all("target")?;
    let begun = Instant::now();
    let (mut parts, mut failed) = (Vec::new(), Vec::new());
    for chapter in measure::CHAPTERS {
        let named = only.iter().any(|chosen| chosen == chapter.name);
        if named || (only.is_empty() && (chapter.is_quick || !settings.quick)) {
            eprintln!("measuring {} … ({} s so far)", chapter.name, begun.elapsed().as_secs());
            let part = (chapter.measure)(settings).unwrap_or_else(|error| {
                failed.push(format!("{}: {error}", chapter.name));
                let rows = vec![report::Row::left_out(chapter.name, &error.to_string())];
                Part { name: chapter.name, title: chapter.name, rows, ..Part::default() }
            });
            println!("{}\n", report::markdown("", std::slice::from_ref(&part)).trim());
            parts.push(part);
        }
    }
    eprintln!("{} s in all", begun.elapsed().as_secs());
    Ok((parts, failed))
}

/// As many threads as cores, as any server has.
fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn write(folder: &Path, machine: &str, parts: &[Part]) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("results.md"), report::markdown(machine, parts))?;
    std::fs::write(folder.join("results.json"), format!("{:#}\n", report::json(machine, parts)))?;
    for part in parts {
        if let Some(svg) = plot::svg(part) {
            std::fs::write(folder.join(part.name).with_extension("svg"), svg)?;
        }
    }
    Ok(())
}

/// What it ran on, and what of.
fn machine() -> Outcome<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let gib = kib.unwrap_or("0").parse::<u64>()? >> 20;
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = env!("CARGO_PKG_VERSION");
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let of = [
        said("date", &["-u", "+%F"]),
        said("git", &["rev-parse", "--short=12", "HEAD"]).map(|commit| format!("commit {commit}")),
        said("rustc", &["--version"]),
        said("psql", &["--version"]),
        Some(format!("SQLite {}", rusqlite::version())),
        said("node", &["--version"]).map(|version| format!("Node {version}")),
        said("python3", &["--version"]),
        said("go", &["version"]),
    ];
    Ok(format!(
        "{cores} cores, {}, {gib} GiB; Linux {}. Jotgate {version}; {}",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        of.into_iter().flatten().collect::<Vec<_>>().join("; ")
    ))
}
