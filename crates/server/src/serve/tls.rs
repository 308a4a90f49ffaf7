//! HTTPS in the server itself: rustls, and files that are read again when they change.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config;

/// How often the files are looked at. They are small; their times say little where they are mounted or linked.
const LOOK: Duration = Duration::from_secs(1);

/// The certificate in use, and where it came from.
pub(super) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
    /// Digest of the files that `current` was made of.
    made_of: [u8; 32],
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why a certificate cannot be used.
#[derive(Debug)]
pub enum TlsError {
    Unreadable(PathBuf, io::Error),
    /// No certificate in PEM form in the file.
    NoCertificate(PathBuf),
    /// No unencrypted private key in PEM form in the file.
    NoKey(PathBuf),
    /// The two do not belong together, or rustls cannot use them.
    Unusable {
        cert: PathBuf,
        key: PathBuf,
        error: rustls::Error,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoCertificate(path) => {
                write!(f, "{}: no certificate in it (PEM, \"BEGIN CERTIFICATE\")", path.display())
            }
            Self::NoKey(path) => {
                write!(f, "{}: no private key in it (PEM, without a pass phrase)", path.display())
            }
            Self::Unusable { cert, key, error } => {
                write!(f, "{} and {}: {error}", cert.display(), key.display())
            }
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    /// Whether the file of the key is at fault, or the two do not fit, rather than that of the certificate.
    #[must_use]
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::NoKey(_) | Self::Unusable { .. })
    }
}

impl Tls {
    /// # Errors
    /// [`TlsError`]; it names the file.
    pub(super) fn load(config: &config::Tls) -> Result<Self, TlsError> {
        let (files, digest) = Files::read(&config.cert, &config.key)?;
        let current = files.into_config(&config.cert, &config.key)?;
        Ok(Self {
            cert: config.cert.clone(),
            key: config.key.clone(),
            current: ArcSwap::from_pointee(current),
            made_of: digest,
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Follows the files for ever. What cannot be used is reported once and changes nothing; whoever replaces
    /// two files does it one after the other, so only what stays bad for two looks is reported.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut in_use = self.made_of;
        let mut suspect = None;
        let mut reported = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.look(in_use)).await;
            let Ok(looked) = looked else { continue };
            match looked {
                Look::Same => suspect = None,
                Look::New(digest, config) => {
                    self.current.store(config);
                    in_use = digest;
                    (suspect, reported) = (None, None);
                    tracing::info!(target: "jotgate::tls", cert = %self.cert.display(), "certificate reloaded");
                }
                Look::Bad(why) => {
                    if suspect.as_ref() == Some(&why) && reported.as_ref() != Some(&why) {
                        tracing::error!(
                            target: "jotgate::tls",
                            why,
                            "the new certificate cannot be used; the old one stays in use"
                        );
                        reported = Some(why.clone());
                    }
                    suspect = Some(why);
                }
            }
        }
    }

    fn look(&self, in_use: [u8; 32]) -> Look {
        match Files::read(&self.cert, &self.key) {
            Ok((_, digest)) if digest == in_use => Look::Same,
            Ok((files, digest)) => match files.into_config(&self.cert, &self.key) {
                Ok(config) => Look::New(digest, Arc::new(config)),
                Err(error) => Look::Bad(error.to_string()),
            },
            Err(error) => Look::Bad(error.to_string()),
        }
    }
}

enum Look {
    Same,
    New([u8; 32], Arc<ServerConfig>),
    Bad(String),
}

struct Files {
    cert: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
}

impl Files {
    fn read(cert: &Path, key: &Path) -> Result<(Self, [u8; 32]), TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|e| TlsError::Unreadable(path.to_owned(), e));
        let files = Self { cert: read(cert)?, key: read(key)?.into() };
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&(files.cert.len() as u64).to_be_bytes());
        context.update(&files.cert);
        context.update(&files.key);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Ok((files, digest))
    }

    fn into_config(self, cert: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate(cert.to_owned()))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(cert.to_owned()));
        }
        let private =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::NoKey(key.to_owned()))?;
        let unusable = |error| TlsError::Unusable { cert: cert.to_owned(), key: key.to_owned(), error };
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(unusable)?
                .with_no_client_auth()
                .with_single_cert(chain, private)
                .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a202_what_is_wrong_with_a_certificate_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::Tls { cert: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        let ((cert, key), (_, other)) = (certificate(), certificate());
        let half = &key[..key.len() / 2];
        for (cert, key, named) in [
            (None, Some(key.as_str()), "c.pem: No such file"),
            (Some(cert.as_str()), None, "k.pem: No such file"),
            (Some(""), Some(&key), "c.pem: no certificate in it"),
            (Some(key.as_str()), Some(&key), "c.pem: no certificate in it"),
            (Some(&cert), Some(""), "k.pem: no private key in it"),
            (Some(&cert), Some(half), "k.pem: no private key in it"),
            (Some(&cert), Some(&cert), "k.pem: no private key in it"),
            (Some(&cert), Some(&other), "k.pem: "),
        ] {
            for (path, text) in [(&config.cert, cert), (&config.key, key)] {
                match text {
                    Some(text) => fs::write(path, text).unwrap(),
                    None => drop(fs::remove_file(path)),
                }
            }
            let error = Tls::load(&config).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
            assert!(!error.contains("PRIVATE"), "{error}");
        }
        fs::write(&config.cert, &cert).unwrap();
        fs::write(&config.key, &key).unwrap();
        assert!(Tls::load(&config).is_ok());
    }
}
