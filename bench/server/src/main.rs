//! The server measured from outside: `cargo xtask bench` builds what this needs and runs it.
//!
//! Everything in one comparison runs in one process's sight and in rounds that take turns, so that whatever else the
//! machine does falls on all alike; the load runs on the same cores. Figures are medians over the rounds, and their
//! least and most are shown beside them.

mod bare;
mod clients;
mod load;
mod measure;
mod program;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use program::Outcome;
use report::Part;

/// How long and how often.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) binary: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
}

const HELP: &str = "\
bench-server [OPTIONS]

  --jotgate FILE   the binary (target/release/jotgate)
  --quick          one short round each: whether it runs, not how fast
  --only PART      this part alone (may be repeated)
  --out DIR        writes results.md, results.json and a picture of each part there
  --list           name the parts
";

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut settings =
        Settings { binary: "target/release/jotgate".into(), rounds: 7, round: Duration::from_secs(2) };
    let (mut only, mut out) = (Vec::new(), None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "serve" => return runtime()?.block_on(async { Ok(bare::serve(&value()?).await?) }),
            "--jotgate" => settings.binary = value()?.into(),
            "--quick" => {
                (settings.rounds, settings.round) = (1, Duration::from_millis(300));
            }
            "--only" => only.push(value()?),
            "--out" => out = Some(PathBuf::from(value()?)),
            "--list" => {
                measure::PARTS.iter().for_each(|(name, _)| println!("{name}"));
                return Ok(());
            }
            "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            _ => return Err(format!("there is no option `{argument}`\n\n{HELP}").into()),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !measure::PARTS.iter().any(|(part, _)| part == name)) {
        return Err(format!("there is no part `{unknown}` (see --list)").into());
    }
    let mut parts = Vec::new();
    for (name, measure) in measure::PARTS {
        if only.is_empty() || only.iter().any(|chosen| chosen == name) {
            eprintln!("measuring {name} …");
            let part = measure(&settings)?;
            println!("{}", report::markdown("", std::slice::from_ref(&part)).trim());
            println!();
            parts.push(part);
        }
    }
    if let Some(folder) = out {
        write(&folder, &parts)?;
    }
    Ok(())
}

/// As many threads as cores, as any server has.
fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn write(folder: &Path, parts: &[Part]) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    let machine = machine()?;
    std::fs::write(folder.join("results.md"), report::markdown(&machine, parts))?;
    std::fs::write(folder.join("results.json"), format!("{:#}\n", report::json(&machine, parts)))?;
    for part in parts {
        if part.figures.iter().filter(|figures| figures.unit == "1/s").count() > 1 {
            let name: String = part
                .title
                .to_lowercase()
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect();
            report::plot(part, "1/s", &folder.join(format!("{name}.svg")))?;
        }
    }
    Ok(())
}

/// What it ran on.
fn machine() -> Outcome<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "Jotgate {version}; {cores} cores, {}; Linux {}",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    ))
}
