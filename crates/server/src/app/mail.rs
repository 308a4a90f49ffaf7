//! Mails, as files in `DATA_DIR/outbox/`: one RFC 5322 message each, in plain text.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::User;
use jotgate_domain::throttle::Verdict;

use super::{App, Fault};

/// Tells the owner of a proven address that somebody tried to register with it.
pub(super) fn address_in_use(app: &App, owner: &User) -> Result<(), Fault> {
    let Some(address) = owner.verified_email() else { return Ok(()) };
    let issuer = app.issuer();
    let text = format!(
        "Somebody tried to register an account with this address at {issuer}.\r\n\r\n\
         You have one already; its user name is {}. If that was you, sign in at {issuer}/login. \
         If it was not, you need not do anything.\r\n",
        owner.username
    );
    write(app, address.as_str(), "You already have an account", &text)
}

/// What somebody can sign in with from now on.
#[derive(Clone, Copy)]
pub(super) enum WayIn<'a> {
    /// By its label.
    Provider(&'a str),
    Password,
}

/// Tells the owner of a proven address that somebody, perhaps not they, can sign in to their account in another way;
/// not where they heard of as much moments ago.
pub(super) fn way_in_added(app: &App, user: &User, way: WayIn<'_>) {
    let Some(address) = user.verified_email() else { return };
    if app.mails.take(address.canonical().as_str(), app.now()) != Verdict::Granted {
        return;
    }
    let issuer = app.issuer();
    let (what, remedy) = match way {
        WayIn::Provider(label) => (
            format!("sign-in with {label}"),
            format!("remove it at {issuer}/account and change your password"),
        ),
        WayIn::Password => ("password".to_owned(), format!("tell the people who run {issuer}")),
    };
    let text = format!(
        "A {what} was added to your account {} at {issuer}.\r\n\r\n\
         If that was you, you need not do anything. If it was not, {remedy}.\r\n",
        user.username
    );
    if let Err(error) = write(app, address.as_str(), "A way to sign in was added", &text) {
        tracing::error!(%error, "a mail could not be written");
    }
}

fn write(app: &App, to: &str, subject: &str, text: &str) -> Result<(), Fault> {
    let date = jiff::Timestamp::from_millisecond(app.now().0)
        .ok()
        .and_then(|at| jiff::fmt::rfc2822::to_string(&at.to_zoned(jiff::tz::TimeZone::UTC)).ok())
        .unwrap_or_default();
    let random = URL_SAFE_NO_PAD.encode(app.edge.random::<12>()?);
    let message = format!(
        "Date: {date}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{random}@{}>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n{text}",
        app.issuer.host
    );
    let folder = app.config.data_dir.join("outbox");
    let path = folder.join(format!("{}-{random}.eml", app.now().0));
    let written = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?.write_all(message.as_bytes())
    };
    written().map_err(|error| Fault::Internal(format!("{}: {error}", path.display())))?;
    tracing::info!(file = %path.display(), subject, "mail written");
    Ok(())
}
