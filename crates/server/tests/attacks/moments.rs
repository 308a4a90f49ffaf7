//! Somebody else's change at each moment of a login, a refresh and a change of password.

use std::sync::Arc;

use jotgate::store::Sqlite;
use jotgate_domain::account::{self, By};
use jotgate_domain::audit::{Action, Actor};
use jotgate_domain::name::{RoleName, Username};
use jotgate_domain::store::{Lookup, Store as _};
use jotgate_domain::{Change, Expect, SessionId, Timestamp, User};
use serde_json::json;

use crate::meddler::{Meddler, Moment};
use crate::support::{Answer, PASSWORD, START, Site, Tokens, claims};
use crate::tools::{audited, refused_everywhere, soon_refused_everywhere};

const NEW_PASSWORD: &str = "quite another passphrase";
/// The hash of no password that anybody knows.
const NOBODYS: &str =
    "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn by() -> By {
    By { actor: Actor::Operator, at: Timestamp::from_secs(START), address: String::new() }
}

async fn ada(store: &Sqlite) -> User {
    let name = Username::parse("ada").unwrap().canonical();
    store.user(Lookup::Name(name)).await.unwrap().unwrap()
}

/// What an operator may do meanwhile; each ends or forbids every session of the user.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Disabled,
    Deleted,
    PasswordSet,
    PasswordRemoved,
}

const ALL: [Meanwhile; 4] =
    [Meanwhile::Disabled, Meanwhile::Deleted, Meanwhile::PasswordSet, Meanwhile::PasswordRemoved];

impl Meanwhile {
    async fn happens(self, store: Arc<Sqlite>) {
        let ada = ada(&store).await;
        let (changes, expect) = match self {
            Self::Disabled => done(account::disable(&ada, &by())),
            Self::Deleted => account::delete(&ada, &by()),
            Self::PasswordSet => done(account::set_password(&ada, Some(NOBODYS.to_owned()), &by())),
            Self::PasswordRemoved => done(account::set_password(&ada, None, &by())),
        };
        store.apply(changes, expect).await.unwrap();
    }
}

fn done(edited: account::Edited) -> (Vec<Change>, Vec<Expect>) {
    (edited.changes, edited.expect)
}

fn login(site: &Site) -> impl Future<Output = Answer> {
    site.login("ada")
}

fn change(site: &Site, access: &str) -> impl Future<Output = Answer> {
    let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let ask = site.post("/auth/password/change", &body).bearer(access);
    ask.send()
}

#[tokio::test]
async fn a98_a117_whatever_ends_an_account_while_a_login_runs_leaves_no_session() {
    for what in ALL {
        for moment in [Moment::AfterAttempt, Moment::BeforeApply] {
            let (site, meddler) = Meddler::site(|_| {}).await;
            assert_eq!(site.register("ada").await.status, 201);
            let id = ada(&open(&site)).await.id;
            meddler.at(moment, move |store| what.happens(store));
            let answer = login(&site).await;
            assert!(meddler.is_done());
            assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_credentials"), "{what:?}");
            let now = site.server.app().now();
            let left = site.server.app().store.sessions(Some(id), now, 10).await.unwrap();
            assert!(left.is_empty(), "{what:?} {moment:?}: {left:?}");
        }
    }
}

/// A second pair of eyes on the same file.
fn open(site: &Site) -> Sqlite {
    Sqlite::open(&site.dir.path().join("jotgate.db"), site.server.app().now()).unwrap()
}

#[tokio::test]
async fn a107_a_role_given_or_taken_while_a_login_runs_is_in_its_token_or_not() {
    for grant in [true, false] {
        let (site, meddler) = Meddler::site(|_| {}).await;
        assert_eq!(site.register("ada").await.status, 201);
        if !grant {
            crate::tools::grant_roles(&site, "ada", ["admin"]).await;
        }
        meddler.at(Moment::BeforeApply, move |store| async move {
            let mut ada = ada(&store).await;
            ada.version += 1;
            ada.roles = if grant { vec![RoleName::parse("admin").unwrap()] } else { Vec::new() };
            store.apply(vec![Change::UpdateUser(ada)], vec![]).await.unwrap();
        });
        let tokens = login(&site).await.tokens();
        assert!(meddler.is_done());
        let expected = if grant { json!(["admin"]) } else { json!([]) };
        assert_eq!(claims(&tokens.access)["roles"], expected, "as the row stood when the session began");
    }
}

#[tokio::test]
async fn a_login_that_is_disturbed_again_and_again_gives_up_and_leaves_nothing() {
    let (site, meddler) = Meddler::site(|_| {}).await;
    assert_eq!(site.register("ada").await.status, 201);
    for _ in 0..3 {
        meddler.at(Moment::BeforeApply, |store| async move {
            let mut ada = ada(&store).await;
            ada.version += 1;
            store.apply(vec![Change::UpdateUser(ada)], vec![]).await.unwrap();
        });
    }
    let answer = login(&site).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(audited(&site, Action::LoginSucceeded).await, 0);
    assert_eq!(login(&site).await.status, 200);
}

#[tokio::test]
async fn a98_a117_whatever_ends_an_account_while_a_refresh_runs_ends_it_too() {
    for what in ALL {
        let (site, meddler) = Meddler::site(|_| {}).await;
        let tokens = site.signed_in("ada").await;
        meddler.at(Moment::BeforeRefresh, move |store| what.happens(store));
        let answer = site.refresh(&tokens.refresh).await;
        assert!(meddler.is_done());
        let refused = (answer.status, answer.code());
        assert_eq!(refused, (401, "invalid_refresh_token".to_owned()), "{what:?}");
        soon_refused_everywhere(&site, &tokens.access, "revoked").await;
    }
}

#[tokio::test]
async fn a98_a117_whatever_ends_an_account_while_its_password_is_changed_wins() {
    for what in ALL {
        for moment in [Moment::AfterSession, Moment::AfterAttempt, Moment::BeforeApply] {
            let (site, meddler) = Meddler::site(|_| {}).await;
            let tokens = site.signed_in("ada").await;
            meddler.at(moment, move |store| what.happens(store));
            let answer = change(&site, &tokens.access).await;
            assert!(meddler.is_done());
            assert_eq!(answer.status, 401, "{what:?} {moment:?}: {}", answer.text());
            assert!(answer.json().get("access_token").is_none());
            soon_refused_everywhere(&site, &tokens.access, "revoked").await;
            let refreshed = site.refresh(&tokens.refresh).await;
            assert_eq!(refreshed.code(), "invalid_refresh_token", "{what:?} {moment:?}");
            let neither = [PASSWORD, NEW_PASSWORD];
            for password in neither {
                let login = crate::tools::try_login(&site, "ada", password).await;
                assert_eq!(login.status, 401, "{what:?} {moment:?}: {password}");
            }
        }
    }
}

#[tokio::test]
async fn a98_a_logout_elsewhere_while_the_password_is_changed_ends_the_session() {
    for moment in [Moment::AfterSession, Moment::AfterAttempt, Moment::BeforeApply] {
        let (site, meddler) = Meddler::site(|_| {}).await;
        let tokens = site.signed_in("ada").await;
        let id: SessionId = tokens.session.parse().unwrap();
        meddler.at(moment, move |store| async move {
            store.apply(vec![Change::EndSession(id)], vec![]).await.unwrap();
        });
        let answer = change(&site, &tokens.access).await;
        assert!(meddler.is_done());
        assert_eq!(answer.status, 401, "{moment:?}: {}", answer.text());
        soon_refused_everywhere(&site, &tokens.access, "revoked").await;
        // It was not changed behind the user's back.
        assert_eq!(login(&site).await.status, 200, "{moment:?}");
    }
}

#[tokio::test]
async fn a98_a_refresh_between_the_steps_of_a_change_of_password_gets_nothing_that_lasts() {
    for moment in [Moment::AfterSession, Moment::AfterAttempt, Moment::BeforeApply] {
        let (site, meddler) = Meddler::site(|_| {}).await;
        let site = Arc::new(site);
        let tokens = site.signed_in("ada").await;
        site.clock.pass(std::time::Duration::from_secs(60));
        let stolen: Arc<std::sync::Mutex<Option<Tokens>>> = Arc::default();
        let (thief, loot, refresh) = (Arc::clone(&site), Arc::clone(&stolen), tokens.refresh.clone());
        meddler.at(moment, move |_| async move {
            *loot.lock().unwrap() = Some(thief.refresh(&refresh).await.tokens());
        });
        let changed = change(&site, &tokens.access).await.tokens();
        assert!(meddler.is_done());
        let stolen = stolen.lock().unwrap().take().unwrap();
        for access in [&stolen.access, &tokens.access] {
            refused_everywhere(&site, access, "revoked").await;
        }
        for refresh in [&stolen.refresh, &tokens.refresh] {
            assert_eq!(site.refresh(refresh).await.code(), "invalid_refresh_token", "{moment:?}");
        }
        crate::tools::accepted_everywhere(&site, &changed.access).await;
        assert_eq!(site.refresh(&changed.refresh).await.status, 200);
    }
}

#[tokio::test]
async fn a98_two_changes_of_one_password_at_once_are_one() {
    let (site, meddler) = Meddler::site(|_| {}).await;
    let site = Arc::new(site);
    let one = site.signed_in("ada").await;
    let two = site.login("ada").await.tokens();
    let (other, access) = (Arc::clone(&site), two.access.clone());
    meddler.at(Moment::BeforeApply, move |_| async move {
        let body = json!({"current_password": PASSWORD, "new_password": "a third long passphrase"});
        let answer = other.post("/auth/password/change", &body).bearer(&access).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    });
    let answer = change(&site, &one.access).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    refused_everywhere(&site, &one.access, "revoked").await;
    assert_eq!(crate::tools::try_login(&site, "ada", NEW_PASSWORD).await.status, 401);
    assert_eq!(crate::tools::try_login(&site, "ada", "a third long passphrase").await.status, 200);
}

/// The address or the roles change while somebody changes their password: that is nobody's reason to sign them out.
#[tokio::test]
async fn a_change_of_password_outlives_a_change_of_the_record_that_has_nothing_to_do_with_it() {
    for moment in [Moment::AfterSession, Moment::AfterAttempt, Moment::BeforeApply] {
        let (site, meddler) = Meddler::site(|_| {}).await;
        let tokens = site.signed_in("ada").await;
        meddler.at(moment, |store| async move {
            let mut ada = ada(&store).await;
            ada.version += 1;
            ada.roles = vec![RoleName::parse("staff").unwrap()];
            store.apply(vec![Change::UpdateUser(ada)], vec![]).await.unwrap();
        });
        let answer = change(&site, &tokens.access).await;
        assert!(meddler.is_done());
        assert_ne!(answer.status, 401, "{moment:?}: told to be signed out: {}", answer.text());
        if answer.status == 200 {
            assert_eq!(claims(&answer.tokens().access)["roles"], json!(["staff"]), "{moment:?}");
        }
    }
}
