//! What a webhook is told, when it is told again, and what operators see of it.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::IntoResponse as _;
use http::StatusCode;
use jotgate::app::{Operator, OperatorError};
use jotgate::config::Webhook;
use jotgate::edge::Edge;
use jotgate_domain::audit::Action;
use jotgate_domain::webhook::{Answer, PAUSES, signature};
use serde_json::json;

use crate::receiver::*;
use crate::support::{self, PASSWORD, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_arrives_signed_and_says_what_the_trail_says() {
    let receiver = Receiver::new(|_| ok()).await;
    let site = site(named("all", webhook(&receiver, &[]))).await;
    let registered = site.register("ada").await.json();
    let login = site.login("ada").await.tokens();
    // Several are under way at once: which arrives first is not said.
    let got = receiver.tries(2).await;
    let of = |kind| got.iter().find(|message| message.kind() == kind).expect(kind);
    let (user, signed_in) = (of("user.registered"), of("login.succeeded"));

    let operator = operator(&site).await;
    let trail =
        operator.audit(jotgate_domain::store::AuditQuery { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(
        signed_in.json(),
        json!({
            "type": "login.succeeded",
            "timestamp": "2026-11-22T12:00:00Z",
            "data": {
                "entry": trail.last().unwrap().id,
                "actor": registered["user"]["id"],
                "user_id": registered["user"]["id"],
                "session_id": login.session,
                "address": "",
                "detail": "",
            },
        })
    );
    for one in &got {
        assert_eq!(one.at, support::START);
        assert_eq!(one.signature, signature(&[secret(1), secret(2)], &one.id, one.at, &one.body));
        assert!(!one.body.contains(PASSWORD) && !one.id.contains('.'), "{one:?}");
    }
    assert_ne!(user.id, signed_in.id);
    settled(&operator, (0, 0)).await;
    // A refresh writes nothing into the trail, and tells nothing.
    site.refresh(&login.refresh).await.tokens();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    receiver.tries(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_does_not_hold_up_the_others() {
    let receiver =
        Receiver::new(|got| if got.kind() == "user.registered" { status(500) } else { ok() }).await;
    let wanted = [Action::UserRegistered, Action::LoginSucceeded];
    let site = site(named("some", webhook(&receiver, &wanted))).await;
    site.register("ada").await;
    for _ in 0..5 {
        site.login("ada").await;
    }
    let wrong = json!({"username": "ada", "password": "not it at all"});
    site.post("/auth/login", &wrong).send().await;
    let got = receiver.tries(6).await;
    assert_eq!(
        got.iter().filter(|one| one.kind() == "login.succeeded").count(),
        5,
        "and none that it did not ask for"
    );
    settled(&operator(&site).await, (1, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_last_try_it_is_a_dead_letter_that_can_be_sent_again() {
    let receiver = Receiver::new(|_| status(500)).await;
    let site = site(named("orders", webhook(&receiver, &[Action::UserRegistered]))).await;
    site.register("ada").await;
    let operator = operator(&site).await;
    for (failed, pause) in PAUSES.iter().enumerate() {
        receiver.tries(failed + 1).await;
        settled(&operator, (1, 0)).await;
        // Not before its time; a pause is longer by a tenth at most.
        site.clock.pass(*pause - Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(700)).await;
        receiver.tries(failed + 1).await;
        site.clock.pass(*pause / 10 + Duration::from_secs(1));
    }
    let tries = receiver.tries(10).await;
    assert!(tries.windows(2).all(|pair| pair[0].id == pair[1].id && pair[0].at < pair[1].at));
    settled(&operator, (0, 1)).await;
    let dead = operator.dead_letters(None, 10).await.unwrap();
    assert_eq!(
        (dead[0].id.as_str(), dead[0].tries, dead[0].problem.as_str()),
        (tries[0].id.as_str(), 10, "answered 500")
    );
    site.clock.pass(Duration::from_secs(86_400));
    tokio::time::sleep(Duration::from_millis(700)).await;
    receiver.tries(10).await;

    // Again, from the first try on; all, and one by its id.
    assert_eq!(operator.retry_dead(Some("another")).await.unwrap(), 0);
    assert_eq!(operator.retry_dead(None).await.unwrap(), 1);
    receiver.tries(11).await;
    // Until it is written down that this try failed, too.
    tried(&site, &dead[0].id, 1).await;
    receiver.says(|_| ok());
    operator.retry_delivery(&dead[0].id).await.unwrap();
    let again = receiver.tries(12).await;
    assert_eq!(again[11].id, dead[0].id);
    settled(&operator, (0, 0)).await;
    assert!(matches!(operator.retry_delivery(&dead[0].id).await, Err(OperatorError::NoSuchDelivery(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_gone_is_left_alone_until_it_is_back_and_misses_nothing() {
    let receiver = Receiver::new(|_| status(410)).await;
    let site = site(named("orders", webhook(&receiver, &[Action::UserRegistered]))).await;
    site.register("one").await;
    receiver.tries(1).await;
    let operator = operator(&site).await;
    until_gone(&operator, true).await;
    site.register("two").await;
    site.clock.pass(Duration::from_secs(7 * 86_400));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    receiver.tries(1).await;

    receiver.says(|_| ok());
    assert!(operator.enable_webhook("orders").await.unwrap());
    assert!(!operator.enable_webhook("orders").await.unwrap());
    assert!(matches!(operator.enable_webhook("other").await, Err(OperatorError::NoSuchWebhook(_))));
    let got = receiver.tries(3).await;
    assert!(got[1..].iter().any(|again| again.id == got[0].id), "the one that it would not take");
    assert_ne!(got[1].id, got[2].id);
    settled(&operator, (0, 0)).await;
    until_gone(&operator, false).await;
}

async fn until_gone(operator: &Operator, gone: bool) {
    for _ in 0..500 {
        if operator.webhooks().await.unwrap()[0].gone_at.is_some() == gone {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_may_ask_for_time_and_a_redirect_leads_nowhere() {
    let elsewhere = Receiver::new(|_| ok()).await;
    let away = elsewhere.url.clone();
    let receiver = Receiver::new(move |got| match got.kind().as_str() {
        "user.registered" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")]).into_response(),
        _ => (StatusCode::TEMPORARY_REDIRECT, [("location", away.clone())]).into_response(),
    })
    .await;
    let site = site(named("orders", webhook(&receiver, &[]))).await;
    site.register("ada").await;
    receiver.tries(1).await;
    site.clock.pass(Duration::from_secs(3599));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    receiver.tries(1).await;
    site.clock.pass(Duration::from_secs(1));
    receiver.tries(2).await;
    site.login("ada").await;
    receiver.tries(3).await;
    assert!(elsewhere.got().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_is_given_up_and_holds_up_no_other_webhook() {
    let fast = Receiver::new(|_| ok()).await;
    // Takes the connection, and never answers.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = Webhook {
        url: format!("http://{}/", deaf.local_addr().unwrap()),
        secrets: vec![secret(1)],
        events: None,
    };
    let hooks = BTreeMap::from([("fast".to_owned(), webhook(&fast, &[])), ("slow".to_owned(), slow)]);
    let site = site(hooks).await;
    for name in ["ada", "ben", "cay"] {
        site.register(name).await;
    }
    fast.tries(3).await;
    let operator = operator(&site).await;
    let waiting = operator.webhooks().await.unwrap();
    assert_eq!((waiting[0].pending, waiting[1].pending), (0, 3));
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_the_server_was_down_arrives_and_what_was_before_the_webhook_does_not() {
    let receiver = Receiver::new(|_| ok()).await;
    let hooks = named("orders", webhook(&receiver, &[]));
    let site = site(BTreeMap::new()).await;
    site.register("before").await;
    let site = site.restart(|config| config.webhooks = hooks).await;
    site.register("after").await;
    receiver.tries(1).await;
    settled(&operator(&site).await, (0, 0)).await;
    // Beside the server that is down, by the command line.
    let aside = operator(&site).await;
    let Site { dir, config, origin, clock, server, router } = site;
    drop((server, router));
    aside.disable("after").await.unwrap();
    drop(aside);
    let app =
        jotgate::app::App::open(config.clone(), origin.clone(), Edge::new(clock.clone())).await.unwrap();
    let site = Site::over(app, dir, config, origin, clock);
    let got = receiver.tries(2).await;
    assert_eq!(got[1].kind(), "user.disabled");
    assert_eq!(got[1].json()["data"]["actor"], "operator");
    drop(site);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_message_is_sent_from_the_command_line_and_metrics_tell_what_waits() {
    let receiver = Receiver::new(|got| if got.kind() == "webhook.test" { ok() } else { status(500) }).await;
    let site = site(named("orders", webhook(&receiver, &[]))).await;
    let operator = operator(&site).await;
    let (delivery, answer) = operator.test_webhook("orders").await.unwrap();
    assert_eq!(answer, Answer::Status { status: 204, retry_after: None });
    let got = receiver.tries(1).await;
    assert_eq!((&got[0].id, got[0].kind().as_str()), (&delivery.id, "webhook.test"));
    assert_eq!(counts(&operator).await, (0, 0), "it is not kept");

    site.register("ada").await;
    receiver.tries(2).await;
    for _ in 0..400 {
        let metrics = site.get("/metrics").send().await.text();
        if metrics.contains("jotgate_webhook_pending{webhook=\"orders\"} 1") {
            assert!(metrics.contains("jotgate_webhook_failed_total{webhook=\"orders\"} 1"), "{metrics}");
            assert!(!metrics.contains("in-the-address"), "{metrics}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", site.get("/metrics").send().await.text());
}

/// Every type that there is has its row.
#[test]
fn the_page_names_every_type() {
    let page = include_str!("../../../../docs/webhooks.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for (_, name) in Action::ALL {
        assert!(
            rows.iter().any(|row| row.contains(&format!("`{name}`"))),
            "docs/webhooks.md has no row for {name}"
        );
    }
}
