//! `jotgate backup` and `jotgate restore`.

mod make;
mod restore;

pub(super) use make::Backup;
pub(super) use restore::Restore;

use std::path::Path;

use zeroize::Zeroizing;

use super::error::{Failure, failed};
use crate::app::backup::{BackupError, Secret};

/// Shorter than this is no key.
const SHORTEST_KEY: usize = 32;

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        failed(error)
    }
}

/// A key file's content, without the new line that editors add.
fn read_key(path: &Path) -> Result<Secret, Failure> {
    let mut bytes = std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| failed(format!("cannot read the key file {}: {error}", path.display())))?;
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.len() < SHORTEST_KEY {
        return Err(failed(format!(
            "the key file {} holds less than {SHORTEST_KEY} bytes. Make one with: head -c 32 /dev/urandom | base64 > FILE",
            path.display()
        )));
    }
    Ok(Secret::Key(bytes))
}

/// `1.2 MB`.
fn size(bytes: u64) -> String {
    let mut unit = 1;
    let mut name = "bytes";
    for (next, text) in [(1_000, "kB"), (1_000_000, "MB"), (1_000_000_000, "GB"), (1_000_000_000_000, "TB")] {
        if bytes >= next {
            (unit, name) = (next, text);
        }
    }
    if unit == 1 {
        return format!("{bytes} bytes");
    }
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

/// `1 user`, `2 users`.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_largest_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (1_960_000, "1.9 MB"),
            (5 << 40, "5.4 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
