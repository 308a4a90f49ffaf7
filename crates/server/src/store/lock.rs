//! One server a data directory.
//!
//! SQLite would let two servers write the same file, but each would keep status lists, address throttles and
//! caches of its own, and the operator hardly meant it. The operating system drops the lock with the process,
//! however that ends. Commands of the CLI do not take it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::OpenError;

/// Held by a running server; dropped, it frees the directory.
#[derive(Debug)]
#[must_use = "the lock is held as long as this lives"]
pub struct DataDirLock {
    _file: File,
}

/// Makes `data_dir` with mode 0700 if it is missing, and takes its lock for a server.
///
/// # Errors
/// [`OpenError::InUse`] where another server holds it, [`OpenError::Io`] where the directory cannot be used.
pub fn lock_data_dir(data_dir: &Path) -> Result<DataDirLock, OpenError> {
    make_private_dir(data_dir)?;
    let path = data_dir.join("server.lock");
    let failed = |error| OpenError::Io { path: path.clone(), doing: "lock", error };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(OpenError::InUse { path: data_dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // For the message above; the lock holds without it, and a full disk must not keep a server from starting.
    let note =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = note {
        tracing::debug!(%error, "could not note the process in the lock file");
    }
    Ok(DataDirLock { _file: file })
}

/// Makes a directory that only its owner may enter; one that exists is left as it is, with a warning where
/// others may enter, since it may hold more than what is ours.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::Io { path: PathBuf::from(dir), doing: "create", error };
    match dir.metadata() {
        Ok(found) if !found.is_dir() => Err(failed(io::Error::from(io::ErrorKind::NotADirectory))),
        Ok(found) => {
            if found.mode() & 0o077 != 0 {
                tracing::warn!(
                    directory = %dir.display(),
                    mode = format!("{:o}", found.mode() & 0o7777),
                    "others may enter the data directory: chmod 700 it"
                );
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/data");
        let first = lock_data_dir(&data).unwrap();
        let second = lock_data_dir(&data).unwrap_err();
        assert!(matches!(second, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
        let text = second.to_string();
        assert!(text.contains("a/data") && text.contains(&std::process::id().to_string()), "{text}");
        drop(first);
        let _third = lock_data_dir(&data).unwrap();
    }

    #[test]
    fn the_directory_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let _lock = lock_data_dir(&data).unwrap();
        assert_eq!(data.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(data.join("server.lock").metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, "x").unwrap();
        let text = lock_data_dir(&path).unwrap_err().to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}
