//! The file of a backup: one line of JSON that says what it is, then the database, either as it is with a SHA-256
//! over everything at the end, or in sealed chunks.
//!
//! Sealed: AES-256-GCM over 64 KiB at a time. The key is made for this file alone, from a salt and either a passphrase
//! (argon2id) or the content of a key file (HMAC-SHA256). A chunk's nonce is its number and whether it is the last
//! one, and the first line is authenticated with each: chunks cannot be changed, swapped, dropped or added.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Progress;

/// Every file of a backup begins like this.
pub(super) const BEGINS: &[u8] = br#"{"jotgate":"backup","version":"#;
const VERSION: u32 = 1;
/// Longer than any first line that is written.
const LONGEST_HEADER: u64 = 1024;
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const DIGEST: usize = 32;
const SALT: usize = 32;
/// What a passphrase costs to try: 64 MiB, three passes.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3 };
/// What the first line of a file from elsewhere may ask for.
const MOST: Cost = Cost { memory_kib: 1024 * 1024, passes: 64 };

/// What opens a sealed file.
pub enum Secret {
    Passphrase(Zeroizing<String>),
    /// Content of a key file.
    Key(Zeroizing<Vec<u8>>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase(…)",
            Self::Key(_) => "Key(…)",
        })
    }
}

/// What the first line says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    jotgate: String,
    version: u32,
    /// When the copy was made (RFC 3339).
    pub(super) created_at: String,
    /// Size of the database in it.
    pub(super) bytes: u64,
    pub(super) encryption: Encryption,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2id: Option<Cost>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    None,
    Passphrase,
    KeyFile,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cost {
    memory_kib: u32,
    passes: u32,
}

/// Why a file of a backup cannot be read.
#[derive(Debug)]
pub enum EnvelopeError {
    Io(io::Error),
    /// Of a later version of the program.
    Newer(u32),
    /// It is sealed with this, and that was not given.
    Locked(Encryption),
    /// It is not sealed, and something to open it with was given.
    NotLocked,
    /// The first chunk does not open.
    WrongSecret,
    /// Ends too early.
    Truncated,
    Damaged,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Newer(version) => write!(f, "it was made by a newer jotgate (format {version})"),
            Self::Locked(Encryption::KeyFile) => {
                f.write_str("it is encrypted with a key file: name that with --key-file")
            }
            Self::Locked(_) => f.write_str(
                "it is encrypted with a passphrase: run this on a terminal, or give it with --passphrase-stdin",
            ),
            Self::NotLocked => f.write_str("it is not encrypted: leave the passphrase or key file out"),
            Self::WrongSecret => f.write_str("the passphrase or key file is not the right one, or it is damaged"),
            Self::Truncated => f.write_str("it is cut short"),
            Self::Damaged => f.write_str("it is damaged: its content is not what was written"),
        }
    }
}

impl From<io::Error> for EnvelopeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// Writes `database`, of `bytes`, into `out`; `salt` is fresh.
pub(super) fn write(
    mut database: impl Read,
    bytes: u64,
    created_at: String,
    secret: Option<&Secret>,
    salt: [u8; SALT],
    mut out: impl Write,
    progress: &Progress,
) -> Result<(), EnvelopeError> {
    let encryption = match secret {
        None => Encryption::None,
        Some(Secret::Passphrase(_)) => Encryption::Passphrase,
        Some(Secret::Key(_)) => Encryption::KeyFile,
    };
    let header = Header {
        jotgate: "backup".to_owned(),
        version: VERSION,
        created_at,
        bytes,
        encryption,
        salt: secret.map(|_| URL_SAFE_NO_PAD.encode(salt)),
        argon2id: (encryption == Encryption::Passphrase).then_some(COST),
    };
    let mut line = serde_json::to_vec(&header).map_err(io::Error::other)?;
    line.push(b'\n');
    out.write_all(&line)?;
    let mut left = bytes;
    let mut next = |buffer: &mut Vec<u8>| -> Result<bool, EnvelopeError> {
        buffer.resize(usize::try_from(left).unwrap_or(CHUNK).min(CHUNK), 0);
        database.read_exact(buffer)?;
        left -= buffer.len() as u64;
        progress.advance(buffer.len() as u64);
        Ok(left == 0)
    };
    let mut buffer = Vec::with_capacity(CHUNK + TAG);
    match secret {
        None => {
            let mut hash = digest::Context::new(&digest::SHA256);
            hash.update(&line);
            loop {
                let last = next(&mut buffer)?;
                hash.update(&buffer);
                out.write_all(&buffer)?;
                if last {
                    break;
                }
            }
            out.write_all(hash.finish().as_ref())?;
        }
        Some(secret) => {
            let key = key_of(secret, &salt, COST)?;
            let mut number = 0;
            loop {
                let last = next(&mut buffer)?;
                let nonce = Nonce::assume_unique_for_key(nonce(number, last));
                key.seal_in_place_append_tag(nonce, Aad::from(&line), &mut buffer)
                    .map_err(|_| EnvelopeError::Damaged)?;
                out.write_all(&buffer)?;
                if last {
                    break;
                }
                number += 1;
            }
        }
    }
    Ok(())
}

/// A file of a backup whose first line was read.
pub(super) struct Envelope<R> {
    pub(super) header: Header,
    line: Vec<u8>,
    input: BufReader<R>,
}

impl<R: Read> Envelope<R> {
    /// Reads the first line.
    pub(super) fn open(input: R) -> Result<Self, EnvelopeError> {
        let mut input = BufReader::with_capacity(CHUNK, input);
        let mut line = Vec::new();
        (&mut input).take(LONGEST_HEADER).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            let whole = line.len() as u64 == LONGEST_HEADER;
            return Err(if whole { EnvelopeError::Damaged } else { EnvelopeError::Truncated });
        }
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let Any { version } = serde_json::from_slice(&line).map_err(|_| EnvelopeError::Damaged)?;
        if version != VERSION {
            return Err(EnvelopeError::Newer(version));
        }
        let header = serde_json::from_slice(&line).map_err(|_| EnvelopeError::Damaged)?;
        Ok(Self { header, line, input })
    }

    /// Writes the database into `out`; it is whole and unchanged only once this has succeeded.
    pub(super) fn unpack(
        mut self,
        secret: Option<&Secret>,
        mut out: impl Write,
        progress: &Progress,
    ) -> Result<(), EnvelopeError> {
        progress.begin(self.header.bytes);
        let key = self.key(secret)?;
        let mut left = self.header.bytes;
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.line);
        let mut number = 0;
        loop {
            let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            left -= size as u64;
            let mut buffer = vec![0; size + if key.is_some() { TAG } else { 0 }];
            self.input.read_exact(&mut buffer)?;
            match &key {
                Some(key) => {
                    let nonce = Nonce::assume_unique_for_key(nonce(number, left == 0));
                    let opened = key.open_in_place(nonce, Aad::from(&self.line), &mut buffer);
                    let opened = opened.map_err(|_| match number {
                        0 => EnvelopeError::WrongSecret,
                        _ => EnvelopeError::Damaged,
                    })?;
                    out.write_all(opened)?;
                }
                None => {
                    hash.update(&buffer);
                    out.write_all(&buffer)?;
                }
            }
            progress.advance(size as u64);
            if left == 0 {
                break;
            }
            number += 1;
        }
        if key.is_none() {
            let mut written = [0; DIGEST];
            self.input.read_exact(&mut written)?;
            if hash.finish().as_ref() != written {
                return Err(EnvelopeError::Damaged);
            }
        }
        // Something was put behind it.
        if self.input.read(&mut [0])? != 0 {
            return Err(EnvelopeError::Damaged);
        }
        Ok(out.flush()?)
    }

    fn key(&self, secret: Option<&Secret>) -> Result<Option<LessSafeKey>, EnvelopeError> {
        let encryption = self.header.encryption;
        let secret = match (encryption, secret) {
            (Encryption::None, None) => return Ok(None),
            (Encryption::None, Some(_)) => return Err(EnvelopeError::NotLocked),
            (Encryption::Passphrase, Some(secret @ Secret::Passphrase(_)))
            | (Encryption::KeyFile, Some(secret @ Secret::Key(_))) => secret,
            _ => return Err(EnvelopeError::Locked(encryption)),
        };
        let mut salt = [0; SALT];
        let written = self.header.salt.as_deref().unwrap_or_default();
        if !matches!(URL_SAFE_NO_PAD.decode_slice(written, &mut salt), Ok(SALT)) {
            return Err(EnvelopeError::Damaged);
        }
        let cost = self.header.argon2id.unwrap_or(COST);
        if cost.memory_kib > MOST.memory_kib || cost.passes > MOST.passes {
            return Err(EnvelopeError::Damaged);
        }
        key_of(secret, &salt, cost).map(Some)
    }
}

fn key_of(secret: &Secret, salt: &[u8; SALT], cost: Cost) -> Result<LessSafeKey, EnvelopeError> {
    let mut key = Zeroizing::new([0; 32]);
    match secret {
        Secret::Passphrase(text) => {
            let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32));
            let params = params.map_err(|_| EnvelopeError::Damaged)?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(text.as_bytes(), salt, &mut *key)
                .map_err(|_| EnvelopeError::Damaged)?;
        }
        Secret::Key(bytes) => {
            let text = [b"jotgate backup 1", salt.as_slice()].concat();
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), &text);
            key.copy_from_slice(tag.as_ref());
        }
    }
    let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| EnvelopeError::Damaged)?;
    Ok(LessSafeKey::new(key))
}

/// Number of the chunk, and whether it is the last one.
fn nonce(number: u64, last: bool) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    let (front, end) = nonce.split_at_mut(8);
    front.copy_from_slice(&number.to_be_bytes());
    end.fill(u8::from(last));
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> [Option<Secret>; 3] {
        let passphrase = Secret::Passphrase(Zeroizing::new("correct horse battery".to_owned()));
        [None, Some(passphrase), Some(Secret::Key(Zeroizing::new(vec![7; 32])))]
    }

    fn pack(database: &[u8], secret: Option<&Secret>) -> Vec<u8> {
        let mut file = Vec::new();
        let at = "2026-11-22T12:00:00Z".to_owned();
        let size = database.len() as u64;
        write(database, size, at, secret, [9; SALT], &mut file, &Progress::default()).unwrap();
        assert!(file.starts_with(BEGINS));
        file
    }

    fn unpack(file: &[u8], secret: Option<&Secret>) -> Result<Vec<u8>, EnvelopeError> {
        let mut out = Vec::new();
        Envelope::open(file)?.unpack(secret, &mut out, &Progress::default())?;
        Ok(out)
    }

    #[test]
    fn what_went_in_comes_out_whatever_its_size() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let database: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
            for secret in secrets() {
                let file = pack(&database, secret.as_ref());
                assert_eq!(unpack(&file, secret.as_ref()).unwrap(), database, "{size} {secret:?}");
            }
        }
    }

    #[test]
    fn no_byte_can_be_changed_left_out_or_added() {
        let database = vec![0x5a; CHUNK + 100];
        // The key file's stands for both: they differ in how the key is made only, and that one takes no time.
        let [none, _, key] = secrets();
        for secret in [none, key] {
            let file = pack(&database, secret.as_ref());
            let places = (0..400).chain((400..file.len()).step_by(997)).chain(file.len() - 60..file.len());
            for place in places {
                let mut changed = file.clone();
                changed[place] ^= 0x10;
                assert!(unpack(&changed, secret.as_ref()).is_err(), "byte {place} {secret:?}");
                assert!(unpack(&file[..place], secret.as_ref()).is_err(), "cut at {place}");
            }
            assert!(unpack(&[file.as_slice(), &[0]].concat(), secret.as_ref()).is_err());
        }
        // Two whole chunks in another order.
        let [_, _, key] = secrets();
        let file = pack(&vec![1; 3 * CHUNK], key.as_ref());
        let header = file.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let mut swapped = file[..header].to_vec();
        let chunks: Vec<&[u8]> = file[header..].chunks(CHUNK + TAG).collect();
        swapped.extend([chunks[1], chunks[0], chunks[2]].concat());
        assert!(unpack(&swapped, key.as_ref()).is_err());
    }

    #[test]
    fn only_the_right_secret_opens_it_and_is_asked_for() {
        let [none, passphrase, key] = secrets();
        let sealed = pack(b"database", passphrase.as_ref());
        let other = Secret::Passphrase(Zeroizing::new("another".to_owned()));
        assert!(matches!(unpack(&sealed, Some(&other)), Err(EnvelopeError::WrongSecret)));
        for wrong in [&none, &key] {
            let error = unpack(&sealed, wrong.as_ref());
            assert!(matches!(error, Err(EnvelopeError::Locked(Encryption::Passphrase))));
        }
        let open = pack(b"database", None);
        assert!(matches!(unpack(&open, key.as_ref()), Err(EnvelopeError::NotLocked)));
        assert!(!sealed.windows(8).any(|window| window == b"database"));
        let newer = String::from_utf8_lossy(&open).replace("\"version\":1", "\"version\":2");
        assert!(matches!(unpack(newer.as_bytes(), None), Err(EnvelopeError::Newer(2))));
    }

    #[test]
    fn a_file_from_elsewhere_cannot_ask_for_the_machine() {
        let [_, passphrase, _] = secrets();
        let file = pack(b"database", passphrase.as_ref());
        let text = |file: &[u8]| String::from_utf8_lossy(file).into_owned();
        let greedy = text(&file).replace("\"memory_kib\":65536", "\"memory_kib\":4000000000");
        assert_ne!(greedy, text(&file));
        assert!(matches!(unpack(greedy.as_bytes(), passphrase.as_ref()), Err(EnvelopeError::Damaged)));
    }
}
