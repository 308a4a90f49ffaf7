//! A certificate of a test's own, and connections that trust it and no other.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// What a client trusts.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    /// Whose certificate it expects.
    name: &'static str,
}

/// Makes a certificate for `localhost` and `127.0.0.1` and writes it and its key into `folder`, where a running
/// server takes them up. Who trusts it trusts no earlier one.
pub(crate) fn write_certificate(folder: &Path) -> Trust {
    certificate(folder, &["127.0.0.1", "localhost"])
}

/// The same for names of the test's own; whoever trusts it expects the first. Also both in one file, `tls.pem`.
#[must_use]
pub fn certificate(folder: &Path, names: &[&'static str]) -> Trust {
    let owned: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(owned).expect("a certificate");
    let (key, chain) = (signing_key.serialize_pem(), cert.pem());
    // Renamed into place, so that no reader sees half of it.
    for (name, text) in [("tls.pem", format!("{chain}{key}")), ("tls.key", key), ("tls.crt", chain)] {
        let new = folder.join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, folder.join(name)).unwrap();
    }
    Trust::only(cert.der(), names[0])
}

impl Trust {
    fn only(certificate: &CertificateDer<'static>, name: &'static str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        Self { config: Arc::new(config), name }
    }

    /// TLS over a fresh connection to 127.0.0.1; the handshake comes with the first bytes.
    pub(crate) fn wrap(&self, stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from(self.name).expect("a name or an address");
        StreamOwned::new(ClientConnection::new(self.config.clone(), name).expect("a connection"), stream)
    }
}
