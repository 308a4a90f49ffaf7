//! Who leaves for a provider: nobody who is signed in does so because another site has a link, an image or a form.

use serde_json::json;

use super::browser::{Browser, location, refused};
use super::idp::{ADA, Idp};
use super::support::{Answer, Site, http_origin};

const FROM: &str = "sec-fetch-site";

async fn site(idp: &Idp) -> Site {
    Site::with(http_origin(), |config| idp.configure(config)).await
}

fn flow_cookie(answer: &Answer) -> bool {
    answer.cookies().iter().any(|cookie| cookie.starts_with("jwt_flow="))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_is_asked_before_a_link_takes_them_elsewhere() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut bob = Browser::registered(&site, "bob").await;
    let path = "/login/idp?return_to=%2Faccount%3Fx&max_age=60";
    let says: [&[(&str, &str)]; 5] = [
        &[(FROM, "cross-site"), ("sec-fetch-dest", "document")],
        &[(FROM, "same-site"), ("sec-fetch-dest", "image")],
        &[(FROM, "none")],
        &[(FROM, "sideways")],
        // A browser that does not say where the link is.
        &[],
    ];
    for says in says {
        let page = bob.get_from(path, says).await;
        assert_eq!((page.status, flow_cookie(&page)), (200, false), "{says:?}");
        let text = page.text();
        assert!(text.contains("You are signed in as <strong>bob</strong>"), "{text}");
        assert!(text.contains("action=\"/login/idp\"") && text.contains("name=\"max_age\" value=\"60\""));
        assert!(text.contains("name=\"return_to\" value=\"/account?x\""), "{text}");
    }
    assert_eq!(idp.asked("/metadata"), 0);
    // A link on a page of ours is a choice.
    let own = bob.copy().get(path).await;
    assert!(location(&own).starts_with(idp.base()) && flow_cookie(&own));
    // There is nothing to ask about a provider that there is not.
    assert_eq!(refused(&bob.get_from("/login/nobody", &[(FROM, "cross-site")]).await), "404 not_found");

    // The button: of a browser that says where it is, and of one that has the form's token only.
    let page = bob.get_from(path, &[]).await.text();
    let token = page.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let fields = [("return_to", "/account?x"), ("max_age", "60"), ("form_token", token)];
    for says in [&[(FROM, "same-origin")][..], &[]] {
        let mut bob = bob.copy();
        let page = bob.post_from("/login/idp", &fields, says).await;
        assert_eq!((page.status, flow_cookie(&page)), (200, true), "{}", page.text());
        let html = page.text().replace("&#38;", "&");
        let to = html.split("<a class=\"button\" href=\"").nth(1).unwrap().split('"').next().unwrap();
        let to = url::Url::parse(to).unwrap();
        assert!(to.as_str().contains("max_age=60"), "{to}");
        assert_eq!(location(&bob.come_back(&idp, &to, &ADA).await), "/account?x");
    }
}

/// Attack 79: a form of another site comes without our cookies, and what comes back from the provider with them.
#[tokio::test(flavor = "multi_thread")]
async fn a79_a_form_of_another_site_sends_nobody_to_a_provider() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut bob = Browser::registered(&site, "bob").await;
    for says in [
        &[(FROM, "cross-site"), ("origin", "https://evil.example")][..],
        &[(FROM, "same-site"), ("origin", "https://sibling.example.com")],
        &[("origin", "null")],
        &[],
    ] {
        for browser in [&mut Browser::new(&site), &mut bob] {
            let answer = browser.post_from("/login/idp", &[("return_to", "/")], says).await;
            assert_eq!((refused(&answer).as_str(), flow_cookie(&answer)), ("403 csrf", false), "{says:?}");
        }
    }
    assert_eq!(idp.asked("/metadata"), 0);
}

/// Applications lead people here, who are not signed in yet; images and frames lead nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_enough_for_whoever_is_not_signed_in() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    for (dest, leads) in [
        (None, true),
        (Some("document"), true),
        (Some("image"), false),
        (Some("iframe"), false),
        (Some("empty"), false),
    ] {
        let mut says = vec![(FROM, "cross-site")];
        says.extend(dest.map(|dest| ("sec-fetch-dest", dest)));
        let answer = Browser::new(&site).get_from("/login/idp", &says).await;
        assert_eq!((answer.status == 303, flow_cookie(&answer)), (leads, leads), "{dest:?}");
        assert!(leads || answer.text().contains("Another site asks you"), "{}", answer.text());
    }
    // Nor is somebody whose session is over.
    let mut bob = Browser::registered(&site, "bob").await;
    let tokens = site.login("bob").await.tokens();
    let all = site.post("/auth/logout", &json!({"all": true})).bearer(&tokens.access).send().await;
    assert_eq!(all.status, 204);
    assert_eq!(bob.get_from("/login/idp", &[(FROM, "cross-site")]).await.status, 303);
}
