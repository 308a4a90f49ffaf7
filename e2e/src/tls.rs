//! A certificate of a test's own, and connections that trust it and no other.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// What a client trusts.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<ClientConfig>);

/// Makes a certificate for `localhost` and `127.0.0.1` and writes it and its key into `folder`, where a running
/// server takes them up. Who trusts it trusts no earlier one.
pub(crate) fn write_certificate(folder: &Path) -> Trust {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
    // Renamed into place, so that no reader sees half of it.
    for (name, text) in [("tls.key", signing_key.serialize_pem()), ("tls.crt", cert.pem())] {
        let new = folder.join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, folder.join(name)).unwrap();
    }
    Trust::only(cert.der())
}

impl Trust {
    fn only(certificate: &CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Self(Arc::new(config.expect("versions").with_root_certificates(roots).with_no_client_auth()))
    }

    /// TLS over a fresh connection to 127.0.0.1; the handshake comes with the first bytes.
    pub(crate) fn wrap(&self, stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        StreamOwned::new(ClientConnection::new(self.0.clone(), name).expect("a connection"), stream)
    }
}
