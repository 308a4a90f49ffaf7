//! `tls.cert` and `tls.key`: whether they belong together, to `public_url`, and to the present.

use jotgate_domain::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Finding;
use crate::config::Config;
use crate::serve;

const CHECK: &str = "certificate";
/// Renewal that works has happened before this much is left.
const SOON_DAYS: i64 = 14;
const DAY: i64 = 24 * 60 * 60;

pub(super) fn look(config: &Config, now: Timestamp) -> Vec<Finding> {
    let Some(tls) = &config.tls else { return Vec::new() };
    let wrong = |setting, message: String, fix: &str| vec![Finding::wrong(CHECK, setting, message, fix)];
    if let Err(error) = serve::check_tls(tls) {
        let setting = if error.is_of_key() { "tls.key" } else { "tls.cert" };
        return wrong(
            setting,
            error.to_string(),
            "put the chain into tls.cert and its own key into tls.key, in PEM form",
        );
    }
    let Some(der) = std::fs::read(&tls.cert).ok().and_then(|bytes| {
        CertificateDer::pem_slice_iter(&bytes).next()?.ok().map(CertificateDer::into_owned)
    }) else {
        return wrong(
            "tls.cert",
            format!("{} holds no certificate", tls.cert.display()),
            "put the chain there",
        );
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
        return wrong("tls.cert", format!("{} cannot be read", tls.cert.display()), "get it anew");
    };
    let mut findings = validity(&certificate, now);
    if let Some(url) = &config.public_url {
        let host = url.host.trim_start_matches('[').trim_end_matches(']');
        if !is_for(&der, host) {
            findings.push(Finding::wrong(
                CHECK,
                "tls.cert",
                format!("it is not for {host}, the host of public_url"),
                format!("get one with the name {host}, or set public_url to a name that it has"),
            ));
        }
    }
    if findings.is_empty() {
        let days = (certificate.validity().not_after.timestamp() - now.secs()) / DAY;
        findings.push(Finding::good(CHECK, format!("good for {days} more days")));
    }
    findings
}

fn validity(certificate: &X509Certificate<'_>, now: Timestamp) -> Vec<Finding> {
    let (from, until) =
        (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    let renew = "renew it; the server takes the new files up by itself";
    let instant = |seconds| super::output::instant(Timestamp::from_secs(seconds));
    if now.secs() > until {
        vec![Finding::wrong(CHECK, "tls.cert", format!("it expired on {}", instant(until)), renew)]
    } else if now.secs() < from {
        let message = format!("it is valid from {} on only", instant(from));
        vec![Finding::wrong(CHECK, "tls.cert", message, "wait, or put this machine's clock right")]
    } else if until - now.secs() < SOON_DAYS * DAY {
        let message = format!("it expires on {}", instant(until));
        vec![Finding::warning(CHECK, "tls.cert", message, renew)]
    } else {
        Vec::new()
    }
}

/// As browsers compare them.
fn is_for(der: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host) else { return false };
    let Ok(certificate) = rustls::server::ParsedCertificate::try_from(der) else { return false };
    rustls::client::verify_server_name(&certificate, &name).is_ok()
}
