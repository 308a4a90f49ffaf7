use askama::Template as _;

use super::*;

/// Every page in every state worth a look.
fn samples(mount: &str) -> Vec<(&'static str, String)> {
    [
        ("login", render(&LoginPage::sample(), mount)),
        ("login-wrong", render(&LoginPage::sample_wrong(), mount)),
        ("login-to-app", render(&LoginPage::sample_to_app(), mount)),
        ("login-providers", render(&LoginPage::sample_with_providers(), mount)),
        ("leaving", render(&LeavingPage::sample(), mount)),
        ("login-again", render(&LoginPage::sample_again(), mount)),
        ("login-again-elsewhere", render(&LoginPage::sample_again_elsewhere(), mount)),
        ("login-stuck", render(&LoginPage::sample_stuck(), mount)),
        ("switch", render(&SwitchPage::sample(), mount)),
        ("switch-nobody", render(&SwitchPage { username: None, ..SwitchPage::sample() }, mount)),
        ("continue", render(&ContinuePage::sample(), mount)),
        ("register", render(&RegisterPage::sample(), mount)),
        ("register-taken", render(&RegisterPage::sample_taken(), mount)),
        ("register-closed", render(&RegisterPage::sample_closed(), mount)),
        ("account", render(&AccountPage::sample(), mount)),
        ("account-new", render(&AccountPage::sample_new(), mount)),
        ("account-linked", render(&AccountPage::sample_linked(), mount)),
        ("account-without-password", render(&AccountPage::sample_without_password(), mount)),
        ("account-wrong-password", render(&AccountPage::sample_wrong_password(), mount)),
        ("logout", render(&LogoutPage::sample(), mount)),
        ("signed-out", render(&SignedOutPage::sample(), mount)),
        ("away", render(&AwayPage::sample(), mount)),
        ("problem", render(&ProblemPage::sample(), mount)),
        ("problem-busy", render(&ProblemPage::sample_busy(), mount)),
    ]
    .into_iter()
    .map(|(name, html)| (name, html.unwrap()))
    .collect()
}

/// With `JOTGATE_PAGES=DIR` the samples are also written there, to look at.
#[test]
fn every_page_renders_and_keeps_the_house_rules() {
    for (name, html) in samples("") {
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}: doctype and language");
        assert_eq!(html.matches("<h1").count(), 1, "{name}: one heading");
        assert_eq!(html.matches("<title>").count(), 1, "{name}: one title");
        assert!(
            html.contains("<a class=\"skip\" href=\"#main\">") && html.contains("id=\"main\""),
            "{name}: skip link"
        );
        assert!(html.contains("name=\"viewport\""), "{name}: viewport");
        // What the CSP would stop anyway must not be there in the first place.
        for banned in ["<script", "style=", "<style", " onclick", " onload", "javascript:", "http://"] {
            assert!(!html.contains(banned), "{name}: {banned}");
        }
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap();
            assert!(form.contains("method=\"post\""), "{name}: {form}");
            assert!(form.contains("name=\"form_token\" value=\"sample-form-token\""), "{name}: {form}");
        }
        for input in html.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap()) {
            if input.contains("type=\"hidden\"") || input.contains(" hidden") {
                continue;
            }
            let id = input.split("id=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            assert!(html.contains(&format!("<label for=\"{id}\"")), "{name}: label of {id}");
            assert!(input.contains("autocomplete=\""), "{name}: autocomplete of {id}");
            assert!(
                !input.contains("type=\"password\"") || !input.contains("value="),
                "{name}: password kept"
            );
        }
        if let Some(dir) = std::env::var_os("JOTGATE_PAGES") {
            write(std::path::Path::new(&dir), name, &html);
        }
    }
}

/// Whatever leads to a page or a file of ours leads below the path at which the server is nested.
#[test]
fn every_link_of_a_nested_server_is_below_its_path() {
    for (name, html) in samples("/id") {
        let links: Vec<&str> = [" href=\"", " action=\"", " src=\""]
            .iter()
            .flat_map(|attribute| html.split(attribute).skip(1))
            .filter(|link| link.starts_with('/'))
            .map(|link| link.split('"').next().unwrap_or_default())
            .collect();
        assert!(links.len() >= 3, "{name}: {links:?}");
        // On an application's site what is ours is there, wherever the server itself is.
        for link in links.into_iter().filter(|link| !link.starts_with("/_jotgate/")) {
            assert!(link.starts_with("/id/"), "{name}: {link}: write {{{{ \"{link}\"|own }}}}");
        }
    }
}

fn write(dir: &std::path::Path, name: &str, html: &str) {
    for path in [assets::style(), assets::logo()] {
        let (asset, _) = assets::find(path).unwrap();
        let file = dir.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, asset.bytes).unwrap();
    }
    std::fs::write(dir.join(format!("{name}.html")), html).unwrap();
}

/// Attacks 154 and 191: whatever others choose is text on our pages.
#[test]
fn hostile_text_stays_text() {
    let evil = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;";
    let form = || Form { token: evil.into(), return_to: evil.into(), max_age: None };
    let error = || Some(FormError { code: "x", message: evil.into(), field: Some("username") });
    let pages = [
        LoginPage {
            again: false,
            by_password: true,
            form: form(),
            destination: Some(evil.into()),
            username: evil.into(),
            error: error(),
            registration: true,
            providers: vec![ProviderLink { name: evil.into(), label: evil.into() }],
        }
        .render(),
        ContinuePage { form: form(), destination: Some(evil.into()), username: evil.into() }.render(),
        RegisterPage {
            form: form(),
            open: true,
            username: evil.into(),
            email: evil.into(),
            min_length: 8,
            error: error(),
            providers: vec![ProviderLink { name: evil.into(), label: evil.into() }],
        }
        .render(),
        AccountPage::sample_hostile(evil).render(),
        LogoutPage { form: form(), username: evil.into() }.render(),
        LeavingPage { label: evil.into(), to: evil.into(), linking: true }.render(),
        SwitchPage { form: form(), name: evil.into(), label: evil.into(), username: Some(evil.into()) }
            .render(),
        SignedOutPage { form: form(), destination: Some(evil.into()) }.render(),
        ProblemPage {
            code: evil.into(),
            title: evil.into(),
            detail: evil.into(),
            request_id: evil.into(),
            ..ProblemPage::sample()
        }
        .render(),
    ];
    for page in pages {
        let html = page.unwrap();
        assert!(!html.contains("<script") && !html.contains("<img src=x"), "{html}");
        assert!(html.contains("&#60;script&#62;"), "shown as text: {html}");
    }
}

#[test]
fn links_keep_the_way_back() {
    let html = LoginPage { registration: true, ..LoginPage::sample_to_app() }.render().unwrap();
    assert!(html.contains("href=\"/register?return_to=https%3A%2F%2Fwiki.example.com%2Fstart%3Fpage%3D1\""));
    let html = LoginPage::sample().render().unwrap();
    assert!(html.contains("href=\"/register\""));
    let html = LoginPage::sample_with_providers().render().unwrap();
    assert!(html.contains("href=\"/login/google?return_to=%2Faccount\""));
}

#[test]
fn notices_are_a_fixed_list() {
    assert_eq!(Notice::from_code("others-ended"), Some(Notice::OthersEnded));
    assert_eq!(Notice::from_code("Call 555-1234 now"), None);
    for notice in [
        Notice::Registered,
        Notice::SessionEnded,
        Notice::OthersEnded,
        Notice::PasswordChanged,
        Notice::IdentityLinked,
        Notice::IdentityUnlinked,
    ] {
        assert_eq!(Notice::from_code(notice.code()), Some(notice));
        assert!(!notice.text().is_empty());
    }
}
