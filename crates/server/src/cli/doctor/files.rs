//! The data directory: whose it is, who may enter, and how much room there is.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Finding;
use crate::config::Config;

/// Less room than this is wrong, or to be looked at.
const TOO_LITTLE: u64 = 100 * 1_000_000;
const LITTLE: u64 = 1_000 * 1_000_000;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let dir = &config.data_dir;
    let found = match dir.metadata() {
        Ok(found) if found.is_dir() => found,
        Ok(_) => {
            return vec![Finding::wrong(
                "data directory",
                "data_dir",
                format!("{} is no directory", dir.display()),
                "name a directory",
            )];
        }
        Err(error) => {
            return vec![Finding::wrong(
                "data directory",
                "data_dir",
                format!("{}: {error}", dir.display()),
                "start `jotgate serve` once, which makes it, or name the one that the server uses",
            )];
        }
    };
    let mut findings = Vec::new();
    if found.mode() & 0o077 != 0 {
        findings.push(Finding::wrong(
            "data directory",
            "data_dir",
            format!("others may enter {} (mode {:04o})", dir.display(), found.mode() & 0o7777),
            format!("chmod 700 {}", dir.display()),
        ));
    }
    // What the server does there: a file of its own beside the database.
    match tempfile::Builder::new().prefix("doctor-").tempfile_in(dir) {
        Ok(_) => {}
        Err(error) => findings.push(Finding::wrong(
            "data directory",
            "data_dir",
            format!("nothing can be written into {}: {error}", dir.display()),
            "run this as the user who runs the server; make room, or remount the file system for writing",
        )),
    }
    match rustix::fs::statvfs(dir) {
        Ok(system) => findings.extend(room(dir, system.f_bavail.saturating_mul(system.f_frsize))),
        Err(error) => findings.push(Finding::warning(
            "disk space",
            "data_dir",
            format!("cannot be told: {error}"),
            "look with df",
        )),
    }
    if findings.is_empty() {
        findings.push(Finding::good("data directory", format!("{} is private and has room", dir.display())));
    }
    findings
}

fn room(dir: &Path, free: u64) -> Option<Finding> {
    let megabytes = free / 1_000_000;
    let message = format!("{megabytes} MB are free for {}", dir.display());
    let fix = "make room, or move data_dir to a larger disk: with none left, nobody can sign in";
    if free < TOO_LITTLE {
        Some(Finding::wrong("disk space", "data_dir", message, fix))
    } else if free < LITTLE {
        Some(Finding::warning("disk space", "data_dir", message, fix))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn little_room_is_told_before_there_is_none() {
        let level = |free| room(Path::new("d"), free).map(|finding| finding.level);
        assert_eq!(level(0), Some(Level::Wrong));
        assert_eq!(level(TOO_LITTLE), Some(Level::Warning));
        assert_eq!(level(LITTLE), None);
    }
}
