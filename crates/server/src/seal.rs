//! The master key and what derives from it.
//!
//! Private keys rest in the database, sealed with AES-256-GCM under a key that derives from the master key; the
//! master key is a file beside it (mode 0600) or one that the operator mounts. It is made once, on the first
//! start, and never replaced: with sealed keys in the database, a missing or wrong file is an error that says so.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::master::{MasterKey, Purpose};
use zeroize::Zeroizing;

use crate::config::MasterKeySource;
use crate::edge::Edge;

/// Why there is no master key. Each names the file and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// Sealed keys exist, and the file that opens them does not.
    Missing(PathBuf),
    Unreadable(PathBuf, io::Error),
    /// Empty, cut short, or not what this program wrote.
    Malformed(PathBuf),
    /// Others can read it.
    Mode(PathBuf, u32),
    NoRandomness,
}

impl fmt::Display for MasterKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "{} is missing, but the database holds keys that were sealed with it. Put the file back from a \
                 backup, or copy it from another node; without it the signing keys cannot be opened and nothing will \
                 replace them silently",
                path.display()
            ),
            Self::Unreadable(path, error) => {
                write!(f, "{} cannot be read or written: {error}", path.display())
            }
            Self::Malformed(path) => write!(
                f,
                "{} is not a master key (one line of 43 base64url characters). Put the file back from a backup",
                path.display()
            ),
            Self::Mode(path, mode) => write!(
                f,
                "{} has mode {mode:04o}: others could read it. Run: chmod 600 {}",
                path.display(),
                path.display()
            ),
            Self::NoRandomness => f.write_str("the operating system gave no random bytes for a master key"),
        }
    }
}

impl std::error::Error for MasterKeyError {}

/// Reads the key; makes it where there is none and `may_create` (no sealed key exists yet).
///
/// # Errors
/// [`MasterKeyError`].
pub fn open_master_key(
    source: &MasterKeySource,
    data_dir: &Path,
    may_create: bool,
    edge: &Edge,
) -> Result<MasterKey, MasterKeyError> {
    let own = data_dir.join("master.key");
    let (path, ours) = match source {
        MasterKeySource::DataDir => (&own, true),
        MasterKeySource::File(path) => (path, false),
    };
    match File::open(path) {
        Ok(file) => read(path, file, ours),
        Err(error) if error.kind() == io::ErrorKind::NotFound && ours && may_create => create(path, edge),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MasterKeyError::Missing(path.clone())),
        Err(error) => Err(MasterKeyError::Unreadable(path.clone(), error)),
    }
}

fn read(path: &Path, file: File, ours: bool) -> Result<MasterKey, MasterKeyError> {
    let unreadable = |error| MasterKeyError::Unreadable(path.to_owned(), error);
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        if ours {
            return Err(MasterKeyError::Mode(path.to_owned(), mode));
        }
        // Mounted secrets often cannot have another mode.
        tracing::warn!(file = %path.display(), mode = format!("{mode:04o}"), "the master key can be read by others");
    }
    let mut text = Zeroizing::new(String::new());
    file.take(1024).read_to_string(&mut text).map_err(unreadable)?;
    let mut key = Zeroizing::new([0; 32]);
    match URL_SAFE_NO_PAD.decode_slice(text.trim_end_matches(['\n', '\r']), &mut *key) {
        Ok(32) => Ok(MasterKey::new(*key)),
        _ => Err(MasterKeyError::Malformed(path.to_owned())),
    }
}

/// Written beside its place, synced, then linked into it: a crash leaves a whole file or none, and of two
/// first starts at once both use the one that came first.
fn create(path: &Path, edge: &Edge) -> Result<MasterKey, MasterKeyError> {
    let unreadable = |error| MasterKeyError::Unreadable(path.to_owned(), error);
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(edge.random().map_err(|_| MasterKeyError::NoRandomness)?);
    let suffix: [u8; 8] = edge.random().map_err(|_| MasterKeyError::NoRandomness)?;
    let draft = path.with_extension(format!("key.{}", URL_SAFE_NO_PAD.encode(suffix)));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(unreadable)?;
    let text = Zeroizing::new(format!("{}\n", URL_SAFE_NO_PAD.encode(*key)));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft).map_err(unreadable)?;
    match linked {
        Ok(()) => {
            if let Some(folder) = path.parent() {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(unreadable)?;
            }
            Ok(MasterKey::new(*key))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(path, File::open(path).map_err(unreadable)?, true)
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// Seals small secrets at rest.
pub struct Sealer(LessSafeKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

/// What was sealed does not open: another key, or changed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealable;

impl Sealer {
    /// # Errors
    /// Never for a key of 32 bytes.
    pub fn new(master: &MasterKey) -> Result<Self, Unsealable> {
        let key = UnboundKey::new(&AES_256_GCM, &*master.derive(Purpose::Seal)).map_err(|_| Unsealable)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// nonce ‖ ciphertext ‖ tag; `context` (such as the key's id) must be the same at opening.
    ///
    /// # Errors
    /// Where the plaintext is longer than AES-GCM takes.
    pub fn seal(&self, context: &str, secret: &[u8], nonce: [u8; NONCE_LEN]) -> Result<Vec<u8>, Unsealable> {
        let mut sealed = nonce.to_vec();
        let mut body = secret.to_vec();
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut body,
            )
            .map_err(|_| Unsealable)?;
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// # Errors
    /// [`Unsealable`].
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unsealable)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| Unsealable)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, may_create: bool) -> Result<MasterKey, MasterKeyError> {
        open_master_key(&MasterKeySource::DataDir, dir, may_create, &Edge::system())
    }

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let made = open(dir.path(), true).unwrap();
        let read = open(dir.path(), false).unwrap();
        assert_eq!(made.derive(Purpose::Seal), read.derive(Purpose::Seal));
        let path = dir.path().join("master.key");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a202_missing_empty_cut_or_readable_by_others_is_refused_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        assert!(matches!(open(dir.path(), false), Err(MasterKeyError::Missing(_))));
        let made = open(dir.path(), true).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for broken in
            ["", "\n", &text[..20], &format!("{text}{text}"), "not base64url at all, but of some length!!!"]
        {
            std::fs::write(&path, broken).unwrap();
            assert!(matches!(open(dir.path(), true), Err(MasterKeyError::Malformed(_))), "{broken:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken, "left as it was");
        }
        std::fs::write(&path, text).unwrap();
        assert_eq!(open(dir.path(), true).unwrap().derive(Purpose::Seal), made.derive(Purpose::Seal));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open(dir.path(), true), Err(MasterKeyError::Mode(_, 0o640))));
        let error = open(dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && error.contains("master.key"), "{error}");
        // The same file mounted from elsewhere is only warned about.
        let elsewhere = MasterKeySource::File(path);
        assert!(open_master_key(&elsewhere, dir.path(), false, &Edge::system()).is_ok());
    }

    #[test]
    fn sealed_bytes_open_with_the_same_key_and_context_only() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(&open(dir.path(), true).unwrap()).unwrap();
        let sealed = sealer.seal("kid-1", b"secret", [3; NONCE_LEN]).unwrap();
        assert_eq!(&**sealer.open("kid-1", &sealed).unwrap(), b"secret");
        assert_eq!(sealer.open("kid-2", &sealed).unwrap_err(), Unsealable);
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(sealer.open("kid-1", &changed).is_err(), "byte {index}");
        }
        let other = tempfile::tempdir().unwrap();
        let other = Sealer::new(&open(other.path(), true).unwrap()).unwrap();
        assert!(other.open("kid-1", &sealed).is_err());
    }
}
