//! Single sign-on over several root domains, where no cookie reaches: a single-use ticket in a redirect.
//!
//! An application's host sends the browser here with the hash of a random number that only this browser has, in a
//! cookie of that host. Whoever is signed in is sent back with a ticket, which that host redeems for an access cookie
//! of its own. The row has the ticket's hash, the application, the session and the hash of the number: a ticket that
//! was seen in a log or a history is good nowhere else, and one that a stranger got for himself signs nobody in.

use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::audit::{Action, Actor, Entry, Event};
use crate::config::Policy;
use crate::store::{Change, Expect};
use crate::token::access_until;
use crate::{Session, SessionId, Timestamp, User};

/// So that scanners find leaked ones.
pub const PREFIX: &str = "jgs_";
/// How long a ticket may take through the browser.
pub const TICKET_TTL: Duration = Duration::from_secs(60);
/// How long somebody may take to sign in, once an application sent them.
pub const FLOW_TTL: Duration = Duration::from_secs(30 * 60);
/// What follows each other within this is one circle.
pub const CIRCLE: Duration = Duration::from_secs(20);
/// Pairs of redirects before a person is told: browsers give up after 20 redirects. Several windows that begin at once
/// count together, so there are as many as fit.
pub const MOST_PAIRS: u8 = 8;

/// Bytes of a ticket and of a browser's number.
pub const RANDOM: usize = 32;
/// Characters of them in base64url.
const TEXT: usize = 43;

/// The row behind a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// [`hash`] of the ticket: the database cannot show it.
    pub hash: [u8; 32],
    pub session: SessionId,
    /// The application's origin, as in `sso.origins`.
    pub origin: String,
    /// [`Nonce::binding`] of the browser that asked.
    pub binding: [u8; 32],
    pub expires_at: Timestamp,
}

/// A ticket as the browser carries it.
#[must_use]
pub fn ticket(random: &[u8; RANDOM]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + TEXT));
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(random, &mut text);
    text
}

/// What the row of this ticket is found by; none where it is not of the form of a ticket.
#[must_use]
pub fn hash(ticket: &str) -> Option<[u8; 32]> {
    let random = decode(ticket.strip_prefix(PREFIX)?)?;
    Some(sha256(&[b"jotgate sso ticket 1\0", random.as_slice()]))
}

/// The random number that one browser has, and nobody else.
#[derive(Clone)]
pub struct Nonce(Zeroizing<[u8; RANDOM]>);

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonce(…)")
    }
}

impl Nonce {
    #[must_use]
    pub fn new(random: [u8; RANDOM]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// What goes through the address bar in its place.
    #[must_use]
    pub fn binding(&self) -> [u8; 32] {
        sha256(&[b"jotgate sso browser 1\0", self.0.as_slice()])
    }
}

/// [`Nonce::binding`] as text.
#[must_use]
pub fn binding_text(binding: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(binding)
}

/// The other way; none for what is not 32 bytes in base64url.
#[must_use]
pub fn binding(text: &str) -> Option<[u8; 32]> {
    decode(text).map(|bytes| *bytes)
}

/// The cookie with which a browser goes from an application's host to the server and back: `PAIRS.NUMBER`.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// Pairs of redirects of a circle so far.
    pub pairs: u8,
    /// None while it is on no such way.
    pub nonce: Option<Nonce>,
}

impl Flow {
    /// What a cookie says; a value that is none of ours says nothing.
    #[must_use]
    pub fn parse(cookie: Option<&str>) -> Self {
        let Some((pairs, nonce)) = cookie.and_then(|value| value.split_once('.')) else {
            return Self::default();
        };
        let Ok(pairs) = pairs.parse() else { return Self::default() };
        Self { pairs, nonce: decode(nonce).map(Nonce) }
    }

    /// The cookie's value, and how long it is kept: between two ways no longer than an access token (`access_ttl`),
    /// after which it is no circle to come for another.
    #[must_use]
    pub fn cookie(&self, access_ttl: Duration) -> (Zeroizing<String>, Duration) {
        let mut value = Zeroizing::new(format!("{}.", self.pairs));
        match &self.nonce {
            Some(Nonce(nonce)) => {
                URL_SAFE_NO_PAD.encode_string(nonce.as_slice(), &mut value);
                (value, FLOW_TTL)
            }
            None => (value, CIRCLE.min(access_ttl)),
        }
    }

    /// After the way over the server: the application's page to here, to the server, back, and to the page.
    #[must_use]
    pub fn around(&self) -> Self {
        Self { pairs: self.pairs.saturating_add(2), nonce: None }
    }

    /// Once more from the beginning, after a ticket for a number that another window replaced.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { pairs: self.pairs.saturating_add(2), ..self.clone() }
    }

    /// After [`Start::Back`]: the application's page to here, and to the page. Other windows may be on their way.
    #[must_use]
    pub fn back(&self) -> Self {
        Self { pairs: self.pairs.saturating_add(1), ..self.clone() }
    }
}

/// What becomes of somebody whom their application sent to its host's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// To the server, for a ticket.
    Ask,
    /// Back: they have a good access cookie, which another window got meanwhile.
    Back,
    /// Told that they go round: what they get is not kept or not accepted.
    Circle,
}

/// Decides it. `signed_in`: they brought a good access cookie.
#[must_use]
pub fn start(flow: &Flow, signed_in: bool) -> Start {
    if flow.pairs >= MOST_PAIRS {
        Start::Circle
    } else if signed_in {
        Start::Back
    } else {
        Start::Ask
    }
}

/// Why a ticket signs nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Never given, used before, or swept.
    Unknown,
    Expired,
    /// It was given for another application.
    OtherApplication,
    /// It was given to another browser, or this one keeps no cookies.
    OtherBrowser,
    /// The session has ended since.
    SessionOver,
}

impl Refused {
    /// For the audit trail and the log.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "unknown ticket",
            Self::Expired => "expired ticket",
            Self::OtherApplication => "ticket of another application",
            Self::OtherBrowser => "ticket of another browser",
            Self::SessionOver => "session is over",
        }
    }
}

/// Whether this browser may redeem the ticket at this application. It is used up either way.
///
/// # Errors
/// [`Refused`].
pub fn check(ticket: &Ticket, origin: &str, nonce: Option<&Nonce>, now: Timestamp) -> Result<(), Refused> {
    // Times first: what expired says no more than that.
    if now >= ticket.expires_at {
        return Err(Refused::Expired);
    }
    if ticket.origin != origin {
        return Err(Refused::OtherApplication);
    }
    let binding = nonce.ok_or(Refused::OtherBrowser)?.binding();
    constant_time::verify_slices_are_equal(&binding, &ticket.binding).map_err(|_| Refused::OtherBrowser)
}

/// What gives out a ticket: it holds only while the session is there.
#[must_use]
pub fn give(ticket: Ticket) -> (Vec<Change>, Vec<Expect>) {
    let session = ticket.session;
    (vec![Change::PutTicket(ticket)], vec![Expect::Session(session)])
}

/// How many of a user's newest entries in the audit trail [`is_renewal`] is to be shown: as many as are read at no
/// cost, and more than come together in a session but for somebody who fails to sign in again and again.
pub const TRAIL: u32 = 200;

/// Whether the session of this ticket was signed in at its application before, so that an access cookie is renewed.
/// `trail`: the newest entries of the session's user.
#[must_use]
pub fn is_renewal(ticket: &Ticket, trail: &[Entry]) -> bool {
    trail.iter().any(|Entry { event, .. }| {
        event.action == Action::SsoSignedIn
            && event.session == Some(ticket.session)
            && event.detail == ticket.origin
    })
}

/// What signs `user` in at the ticket's application: the ticket goes, and the session's entry is good for the access
/// token that is signed at `now`. Of those who show one ticket at once, one gets this through.
///
/// `renewal`: [`is_renewal`], which happens every few minutes and says nothing new, so it is not written down.
#[must_use]
pub fn redeem(
    ticket: &Ticket,
    user: &User,
    renewal: bool,
    policy: &Policy,
    now: Timestamp,
    address: String,
) -> (Vec<Change>, Vec<Expect>) {
    let mut changes = vec![
        Change::TakeTicket(ticket.hash),
        Change::ExtendTokens { session: ticket.session, access_until: access_until(policy, now) },
    ];
    if !renewal {
        changes.push(Change::Audit(Event {
            at: now,
            action: Action::SsoSignedIn,
            actor: Actor::User(user.id),
            user: Some(user.id),
            session: Some(ticket.session),
            address,
            detail: ticket.origin.clone(),
        }));
    }
    let expect = vec![
        // A role taken away meanwhile would be in the token.
        Expect::User(user.id, user.version),
        Expect::Session(ticket.session),
        Expect::Ticket(ticket.hash),
    ];
    (changes, expect)
}

/// What uses up a ticket that was refused. `session` where it is known, with its user.
#[must_use]
pub fn refuse(
    ticket: &Ticket,
    why: Refused,
    session: Option<&Session>,
    now: Timestamp,
    address: String,
) -> (Vec<Change>, Vec<Expect>) {
    let changes = vec![
        Change::TakeTicket(ticket.hash),
        Change::Audit(Event {
            at: now,
            action: Action::SsoRefused,
            actor: Actor::Anonymous,
            user: session.map(|session| session.user_id),
            session: Some(ticket.session),
            address,
            detail: format!("{}, for {}", why.reason(), ticket.origin),
        }),
    ];
    (changes, vec![Expect::Ticket(ticket.hash)])
}

fn decode(text: &str) -> Option<Zeroizing<[u8; RANDOM]>> {
    let mut bytes = Zeroizing::new([0; RANDOM]);
    let fits = text.len() == TEXT && URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice()) == Ok(RANDOM);
    fits.then_some(bytes)
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{NOW, session, user};

    const SHOP: &str = "https://shop.other.test";

    fn nonce(n: u8) -> Nonce {
        Nonce::new([n; RANDOM])
    }

    fn given() -> Ticket {
        Ticket {
            hash: hash(&ticket(&[7; RANDOM])).unwrap(),
            session: session().id,
            origin: SHOP.to_owned(),
            binding: nonce(1).binding(),
            expires_at: NOW.plus(TICKET_TTL),
        }
    }

    #[test]
    fn a_ticket_is_for_one_application_and_one_browser_and_a_minute() {
        use Refused::{Expired, OtherApplication, OtherBrowser};
        let (one, other) = (nonce(1), nonce(2));
        for (origin, nonce, seconds, expected) in [
            (SHOP, Some(&one), 0, Ok(())),
            (SHOP, Some(&one), 59, Ok(())),
            (SHOP, Some(&one), 60, Err(Expired)),
            (SHOP, Some(&other), 0, Err(OtherBrowser)),
            (SHOP, None, 0, Err(OtherBrowser)),
            ("https://shop.other.test:8443", Some(&one), 0, Err(OtherApplication)),
            ("http://shop.other.test", Some(&one), 0, Err(OtherApplication)),
            ("https://evil.shop.other.test", Some(&one), 0, Err(OtherApplication)),
            ("https://shop.other.test.evil", Some(&other), 61, Err(Expired)),
        ] {
            let now = NOW.plus(Duration::from_secs(seconds));
            assert_eq!(check(&given(), origin, nonce, now), expected, "{origin} {seconds}");
        }
    }

    /// Attack 108: neither the row nor the address bar has what the browser has.
    #[test]
    fn a108_only_hashes_are_stored_and_shown() {
        let text = ticket(&[7; RANDOM]);
        assert_eq!(text.len(), 47);
        assert!(text.starts_with("jgs_"));
        let row = given();
        assert_ne!(row.hash, [7; RANDOM]);
        assert_ne!(row.binding, [1; RANDOM]);
        assert_ne!(nonce(7).binding(), row.hash, "the two are told apart by what they are for");
        assert_eq!(binding(&binding_text(&row.binding)), Some(row.binding));
        assert_eq!(format!("{:?}", nonce(1)), "Nonce(…)");
    }

    #[test]
    fn what_is_no_ticket_has_no_hash() {
        let good = ticket(&[7; RANDOM]);
        for bad in [
            "",
            "jgs_",
            &good[4..],
            &good[..46],
            &format!("{}=", good.as_str()),
            &format!("{}A", good.as_str()),
            &good.replace("jgs_", "jgr_"),
            &good.replacen('B', "+", 1),
            // The same bytes, with a stray bit in the last character.
            &format!("{}d", &good[..46]),
        ] {
            assert_eq!(hash(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_flow_cookie_reads_back() {
        let flow = Flow { pairs: 2, nonce: Some(nonce(9)) };
        let (value, age) = flow.cookie(FLOW_TTL);
        assert_eq!(age, FLOW_TTL);
        let read = Flow::parse(Some(&value));
        assert_eq!((read.pairs, read.nonce.unwrap().binding()), (2, nonce(9).binding()));
        let (value, age) = flow.around().cookie(FLOW_TTL);
        assert_eq!((value.as_str(), age), ("4.", CIRCLE));
        assert_eq!(flow.around().cookie(Duration::from_secs(3)).1, Duration::from_secs(3));
        assert_eq!((flow.back().pairs, flow.back().nonce.is_some()), (3, true));
        assert!(Flow::parse(Some(&value)).nonce.is_none());
        for strange in [None, Some(""), Some("x"), Some("-1."), Some("999."), Some("1"), Some(".AAAA")] {
            assert_eq!(Flow::parse(strange).pairs, 0, "{strange:?}");
            assert!(Flow::parse(strange).nonce.is_none(), "{strange:?}");
        }
        assert_eq!(Flow { pairs: 255, nonce: None }.around().pairs, 255);
    }

    /// Whatever an application does with what it gets: told before the browser gives up.
    #[test]
    fn no_circle_is_endless() {
        for (name, keeps) in [("keeps", true), ("throws away", false)] {
            let (mut flow, mut has) = (Flow::default(), false);
            // From the page to the beginning.
            let mut redirects = 1;
            loop {
                match start(&flow, has) {
                    Start::Circle => break,
                    Start::Back => {
                        flow = flow.back();
                        redirects += 2;
                    }
                    Start::Ask => {
                        flow = Flow { nonce: Some(nonce(1)), ..flow }.around();
                        redirects += 4;
                        has = keeps;
                    }
                }
            }
            assert!((10..20).contains(&redirects), "{name}: {redirects}");
        }
    }

    /// Six windows that were sent here before the first of them was back.
    #[test]
    fn several_windows_are_no_circle() {
        let mut flow = Flow { nonce: Some(nonce(1)), ..Flow::default() }.around();
        for _ in 0..6 {
            assert_eq!(start(&flow, true), Start::Back);
            flow = flow.back();
        }
        assert_eq!(start(&flow, true), Start::Circle);
    }

    #[test]
    fn a_renewal_is_the_same_session_at_the_same_application_once_more() {
        let entry = |change: fn(&mut Event)| {
            let mut event = Event {
                at: NOW,
                action: Action::SsoSignedIn,
                actor: Actor::User(user().id),
                user: Some(user().id),
                session: Some(given().session),
                address: String::new(),
                detail: SHOP.to_owned(),
            };
            change(&mut event);
            Entry { id: 1, event }
        };
        let others = [
            entry(|event| event.detail = "https://bank.third.test".to_owned()),
            entry(|event| event.session = Some(SessionId::new(NOW, [9; 10]))),
            entry(|event| event.session = None),
            entry(|event| event.action = Action::SsoRefused),
        ];
        assert!(!is_renewal(&given(), &others));
        assert!(is_renewal(&given(), &[&others[..], &[entry(|_| {})]].concat()));
    }

    #[test]
    fn redeeming_takes_the_ticket_and_holds_the_session() {
        let policy = Policy::default();
        let (changes, expect) = redeem(&given(), &user(), false, &policy, NOW, "192.0.2.1".to_owned());
        assert!(matches!(changes[0], Change::TakeTicket(hash) if hash == given().hash));
        let Change::ExtendTokens { session: extended, access_until } = changes[1] else {
            panic!("{changes:?}")
        };
        assert_eq!((extended, access_until), (session().id, Timestamp::from_secs(NOW.secs() + 600)));
        let Change::Audit(event) = &changes[2] else { panic!("{changes:?}") };
        assert_eq!((event.action, event.detail.as_str()), (Action::SsoSignedIn, SHOP));
        let (silent, same) = redeem(&given(), &user(), true, &policy, NOW, String::new());
        assert!(matches!(silent[..], [Change::TakeTicket(_), Change::ExtendTokens { .. }]), "{silent:?}");
        assert_eq!(same, expect);
        assert_eq!(
            expect,
            [
                Expect::User(user().id, user().version),
                Expect::Session(session().id),
                Expect::Ticket(given().hash)
            ]
        );
        let (changes, expect) = refuse(&given(), Refused::OtherBrowser, Some(&session()), NOW, String::new());
        assert!(matches!(changes[0], Change::TakeTicket(_)));
        let Change::Audit(event) = &changes[1] else { panic!("{changes:?}") };
        assert_eq!(event.detail, "ticket of another browser, for https://shop.other.test");
        assert_eq!((event.user, &event.actor), (Some(user().id), &Actor::Anonymous));
        assert_eq!(expect, [Expect::Ticket(given().hash)]);
        let (changes, expect) = give(given());
        assert!(matches!(&changes[..], [Change::PutTicket(ticket)] if *ticket == given()));
        assert_eq!(expect, [Expect::Session(session().id)]);
    }
}
