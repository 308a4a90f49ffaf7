//! What is set, by whom it is overruled, and what every mistake reads like.

use std::time::Duration;

use insta::assert_snapshot;

use super::*;
use crate::config::{LogFormat, Ops, SameSite};

/// Loads from a file's text, variables and flags.
fn try_load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, Invalid> {
    load(&Input {
        flags: flags
            .iter()
            .map(|(key, value)| Flag {
                typed: format!("--{}", key.replace(['.', '_'], "-")),
                key: (*key).to_owned(),
                values: vec![(*value).to_owned()],
            })
            .collect(),
        environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        file: Some(File { path: PathBuf::from("jotgate.toml"), text: file.to_owned() }),
        read: &|path| match path.to_str() {
            Some("/run/secrets/database") => Ok("sqlite:///srv/secret.db\n".to_owned()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        },
    })
}

fn ok(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Loaded {
    try_load(file, environment, flags).unwrap_or_else(|invalid| panic!("{invalid}"))
}

fn refused(file: &str) -> String {
    try_load(file, &[], &[]).map(|loaded| loaded.config).expect_err("refused").to_string()
}

fn refused_with(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    try_load("", environment, flags).map(|loaded| loaded.config).expect_err("refused").to_string()
}

fn warnings(file: &str) -> Vec<String> {
    ok(file, &[], &[]).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_set_is_the_default_without_a_warning() {
    let loaded = ok("", &[], &[]);
    assert_eq!(format!("{:?}", loaded.config), format!("{:?}", Config::default()));
    assert_eq!(loaded.warnings, []);
    assert!(loaded.settings.iter().all(|setting| setting.source == Source::Default));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = "[token]\naccess_ttl = \"5m\"\n";
    let variable = ("JOTGATE_TOKEN_ACCESS_TTL", "6m");
    let flag = ("token.access_ttl", "7m");
    for (loaded, minutes, source) in [
        (ok("", &[], &[]), 10, "default"),
        (ok(file, &[], &[]), 5, "jotgate.toml:2"),
        (ok(file, &[variable], &[]), 6, "JOTGATE_TOKEN_ACCESS_TTL"),
        (ok(file, &[variable], &[flag]), 7, "--token-access-ttl"),
    ] {
        assert_eq!(loaded.config.policy.access_ttl, Duration::from_secs(minutes * 60));
        let setting = loaded.settings.iter().find(|setting| setting.key == "token.access_ttl").unwrap();
        assert_eq!(setting.source.to_string(), source);
    }
}

#[test]
fn every_key_can_be_set_in_the_file() {
    let config = ok(
        r#"
        listen = "[::1]:9000"
        public_url = "https://auth.example.com"
        data_dir = "/srv/jotgate"
        database_url = "sqlite:///srv/jotgate/x.db"
        master_key_file = "/run/secrets/master"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [ops]
        listen = "127.0.0.1:9001"
        [tls]
        cert = "c.pem"
        key = "k.pem"
        [token]
        audience = ["api", "https://x.example"]
        access_ttl = "15m"
        algorithm = "EdDSA"
        [session]
        idle_ttl = "7d"
        max_ttl = "30d"
        max_per_user = 5
        [refresh]
        grace = "20s"
        [cookie]
        name = "sid"
        domain = ".example.com"
        same_site = "strict"
        trusted_origins = ["https://app.example.com", "https://app.example.com:443"]
        [password]
        hash = "argon2id,m=65536,t=3,p=2"
        min_length = 15
        [registration]
        enabled = false
        [roles.editor]
        permissions = ["a:read", "a:write"]
        [roles."x.y:z"]
        permissions = []
        [jwks]
        max_age = "1m"
        [key]
        rotation = "30d"
        [log]
        filter = "info,jotgate=warn"
        format = "json"
        "#,
        &[],
        &[],
    )
    .config;
    assert_eq!(config.listen.to_string(), "[::1]:9000");
    assert_eq!(config.public_url.unwrap().to_string(), "https://auth.example.com");
    assert_eq!(config.ops, Ops::Own("127.0.0.1:9001".parse().unwrap()));
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.tls.unwrap().key, Path::new("k.pem"));
    assert_eq!(config.token.audience, ["api", "https://x.example"]);
    assert_eq!(config.token.algorithm.name(), "EdDSA");
    assert_eq!(config.policy.max_per_user, 5);
    assert_eq!(config.policy.grace, Duration::from_secs(20));
    assert_eq!(config.cookie.domain.as_deref(), Some("example.com"));
    assert_eq!(config.cookie.same_site, SameSite::Strict);
    assert_eq!(config.cookie.trusted_origins.len(), 1);
    assert_eq!(
        (config.password.memory_kib, config.password.iterations, config.password.parallelism),
        (65_536, 3, 2)
    );
    assert_eq!(config.policy.password_min_length, 15);
    assert_eq!(config.registration_enabled, Some(false));
    assert_eq!(config.policy.permissions["editor"], ["a:read", "a:write"]);
    assert_eq!(config.policy.permissions["x.y:z"], [""; 0]);
    assert_eq!(config.policy.key_rotation, Duration::from_secs(30 * 86_400));
    assert_eq!(config.log.format, LogFormat::Json);
}

const PROVIDERS: &str = r#"
    [providers.google]
    preset = "google"
    client_id = "g.apps.example"
    client_secret = "hidden"
    [providers.staff-login]
    issuer = "https://id.example.com/realms/staff"
    client_id = "jotgate"
    label = "the staff directory"
    scopes = ["openid", "email"]
    redirect_uris = ["com.example.app:/callback", "http://127.0.0.1:3000/cb"]
    trust_email = true
    registration = false
"#;

#[test]
fn providers_have_sections_of_their_own() {
    let config = ok(PROVIDERS, &[], &[]).config;
    let google = &config.providers["google"];
    assert_eq!((google.label("google"), google.base()), ("Google", "https://accounts.google.com"));
    assert_eq!(google.client_secret.as_ref().unwrap().expose(), "hidden");
    assert!(google.trusts_email() && google.registration.is_none());
    let staff = &config.providers["staff-login"];
    assert_eq!((staff.label("staff-login"), staff.scope().as_str()), ("the staff directory", "openid email"));
    assert_eq!((staff.redirect_uris.len(), staff.trusts_email(), staff.registration), (2, true, Some(false)));
    // The environment names those of the file, and others in lower case.
    let environment = [
        ("JOTGATE_PROVIDERS_STAFF_LOGIN_CLIENT_SECRET", "from the environment".replace(' ', "-")),
        ("JOTGATE_PROVIDERS_GITHUB_PRESET", "github".to_owned()),
        ("JOTGATE_PROVIDERS_GITHUB_CLIENT_ID", "x".to_owned()),
        ("JOTGATE_PROVIDERS_GITHUB_CLIENT_SECRET_FILE", "/run/secrets/database".to_owned()),
    ];
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let loaded = ok(PROVIDERS, &environment, &[("providers.google.client_id", "y")]);
    let secret =
        |name: &str| loaded.config.providers[name].client_secret.as_ref().unwrap().expose().to_owned();
    assert_eq!(secret("staff-login"), "from-the-environment");
    assert_eq!(secret("github"), "sqlite:///srv/secret.db");
    assert_eq!(loaded.config.providers["google"].client_id, "y");
    for setting in loaded.settings.iter().filter(|setting| setting.key.ends_with("client_secret")) {
        assert_eq!(setting.value, "********", "{}", setting.key);
    }
}

#[test]
fn mistakes_about_providers_are_named() {
    let with = |lines: &str| refused(&format!("[providers.x]\n{lines}"));
    let all = [
        with("client_id = \"a\""),
        with("preset = \"google\""),
        with("preset = \"facebook\"\nclient_id = \"a\""),
        with("issuer = \"http://id.example.com\"\nclient_id = \"a\""),
        with("preset = \"github\"\nclient_id = \"a\""),
        with("preset = \"apple\"\nclient_id = \"a\"\nteam_id = \"T\""),
        with("preset = \"google\"\nclient_id = \"a\"\ntenant = \"common\""),
        with("preset = \"microsoft\"\nclient_id = \"a\"\ntenant = \"contoso.com\""),
        with("preset = \"google\"\nclient_id = \"a\"\nscopes = [\"email\"]"),
        with("preset = \"google\"\nclient_id = \"a\"\nredirect_uris = [\"app\"]"),
        with("preset = \"google\"\nclient_id = \"a\"\nclientsecret = \"s3cret\""),
        refused("[providers.My_Own]\npreset = \"google\""),
    ];
    assert_snapshot!(all.join("\n"), @r#"
    providers.x.issuer (jotgate.toml:2): is missing: the issuer's address, such as https://accounts.example.com, or a preset: google, microsoft, github, gitlab or apple
    providers.x.client_id (jotgate.toml:2): is missing: the provider gives it to whoever registers this server there
    providers.x.preset (jotgate.toml:2): expected one of google, microsoft, github, gitlab, apple, got "facebook"
    providers.x.issuer (jotgate.toml:2): expected https://, a host and perhaps a path, as the provider writes it (http:// only for one on this machine), got "http://id.example.com"
    providers.x.client_secret (jotgate.toml:3): is missing: GitHub gives no code away without it
    providers.x.key_id (jotgate.toml:3): is missing: with preset apple a client secret is made of team_id, key_id and private_key
    providers.x.tenant (jotgate.toml:4): is for preset microsoft only
    providers.x.tenant (jotgate.toml:4): is none: the tenant's id (a UUID), or common, organizations or consumers
    providers.x.scopes (jotgate.toml:4): lacks openid: without it there is no ID token
    providers.x.redirect_uris (jotgate.toml:4): expected absolute URIs without a fragment: https://, http:// on this machine, or a scheme of an application's own such as com.example.app:/callback, got ["app"]
    providers.x.clientsecret (jotgate.toml:4): is no key; write providers.NAME. and one of preset, issuer, client_id, client_secret, label, scopes, redirect_uris, trust_email, registration, tenant, team_id, key_id, private_key
    providers.My_Own.preset (jotgate.toml:2): expected a provider named with 1 to 32 of a-z 0-9 _ -, got "google"
    "#);
    let secret = with("preset = \"google\"\nclient_id = \"a\"\nclient_secret = \"s3 cret\"");
    assert!(!secret.contains("cret\""), "{secret}");
}

#[test]
fn the_environment_has_lists_and_roles() {
    let config = ok(
        "[roles.Blog-Editor]\npermissions = [\"x\"]",
        &[
            ("JOTGATE_TOKEN_AUDIENCE", "api, web"),
            ("JOTGATE_ROLES_BLOG_EDITOR_PERMISSIONS", "posts:read,posts:write"),
            ("JOTGATE_ROLES_ADMIN_PERMISSIONS", "all"),
            ("JOTGATE_COOKIE_DOMAIN", ""),
            ("PATH", "/bin"),
            ("JOTGATE_CONFIG", "jotgate.toml"),
        ],
        &[],
    )
    .config;
    assert_eq!(config.token.audience, ["api", "web"]);
    assert_eq!(config.policy.permissions["Blog-Editor"], ["posts:read", "posts:write"]);
    assert_eq!(config.policy.permissions["admin"], ["all"]);
    assert_eq!(config.policy.permissions.len(), 2);
    assert_eq!(config.cookie.domain, None);
}

#[test]
fn a_flag_sets_a_role_and_none_takes_back_what_the_file_set() {
    let file = "public_url = \"https://auth.example.com\"\ntrusted_proxies = \"10.0.0.7\"\ncookie.domain = \"example.com\"";
    let config = ok(file, &[], &[("roles.editor.permissions", "a,b"), ("cookie.domain", "none")]).config;
    assert_eq!(config.policy.permissions["editor"], ["a", "b"]);
    assert_eq!(config.cookie.domain, None);
}

#[test]
fn a_secret_can_be_in_a_file_of_its_own() {
    let loaded = ok("", &[("JOTGATE_DATABASE_URL_FILE", "/run/secrets/database")], &[]);
    assert!(format!("{:?}", loaded.config.database_url).contains("/srv/secret.db"));
    assert_snapshot!(refused("database_url_file = \"/nowhere\""), @r#"database_url_file (jotgate.toml:1): cannot read "/nowhere": no such file"#);
    assert_snapshot!(refused_with(
        &[("JOTGATE_DATABASE_URL_FILE", "/run/secrets/database"), ("JOTGATE_DATABASE_URL", "sqlite://x.db")], &[]), @"database_url_file (JOTGATE_DATABASE_URL_FILE): database_url is set as well: one of the two");
    assert_snapshot!(refused_with(&[("JOTGATE_LISTEN_FILE", "x")], &[]), @"JOTGATE_LISTEN_FILE: there is no such key; the nearest is JOTGATE_LISTEN");
}

#[test]
fn webhooks_have_names_and_are_whole() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let file = format!(
        "[webhooks.my-app]\nurl = \"https://app.example/hooks?key=hidden\"\nsecret = [\"{SECRET}\", \"{SECRET}\"]"
    );
    let loaded = ok(
        &file,
        &[
            ("JOTGATE_WEBHOOKS_MY_APP_EVENTS", "user.deleted, login.failed"),
            ("JOTGATE_WEBHOOKS_OTHER_URL", "http://127.0.0.1:3000"),
            ("JOTGATE_WEBHOOKS_OTHER_SECRET", SECRET),
        ],
        &[],
    );
    let webhooks = &loaded.config.webhooks;
    assert_eq!(webhooks.len(), 2);
    assert_eq!(webhooks["my-app"].event_names(), ["user.deleted", "login.failed"]);
    assert_eq!((webhooks["my-app"].secrets.len(), webhooks["other"].secrets.len()), (2, 1));
    assert_eq!(webhooks["other"].event_names(), ["*"]);
    let shown = format!("{:?}", loaded.settings);
    assert!(!shown.contains("MfKQ9r") && !shown.contains("key=hidden"), "{shown}");

    for (file, said) in [
        (format!("[webhooks.a]\nsecret = \"{SECRET}\""), "set webhooks.a.url"),
        ("[webhooks.a]\nurl = \"https://a.example\"".to_owned(), "set webhooks.a.secret"),
        ("webhooks.a.url = \"http://a.example\"".to_owned(), "expected https://"),
        ("webhooks.a.secret = \"hunter2\"".to_owned(), "expected whsec_"),
        ("webhooks.a.events = \"login.suceeded\"".to_owned(), "\"login.suceeded\" is none of"),
        ("webhooks.A.url = \"https://a.example\"".to_owned(), "1 to 32 of a-z"),
        ("webhooks.a.uri = \"x\"".to_owned(), "write webhooks.NAME. and one of url, secret, events"),
    ] {
        let problem = refused(&file);
        assert!(problem.contains(said) && !problem.contains("hunter2"), "{file}: {problem}");
    }
}

#[test]
fn a_secret_is_never_in_a_message() {
    let wrong = "postgres://jot:hunter2@db/jotgate?sslmode=maybe";
    let url = "postgres://jot:hunter2@db/jotgate";
    for text in [
        refused(&format!("database_url = \"{wrong}\"")),
        refused_with(&[("JOTGATE_DATABASE_URL", wrong)], &[]),
        refused_with(&[], &[("database_url", wrong)]),
    ] {
        assert!(!text.contains("hunter2") && text.contains("database_url"), "{text}");
    }
    assert_eq!(mask(&Value::Text(url.to_owned())), "\"postgres://jot:********@db/jotgate\"");
    assert_eq!(
        mask(&Value::Text("postgres://jot:p@ss/word@db/x".to_owned())),
        "\"postgres://jot:********@db/x\""
    );
    for (text, shown) in [
        ("postgres://jot@db/x?password=hunter2", "\"postgres://jot:********@db/x?********\""),
        ("postgres:///x?PASSWORD=hunter2", "\"postgres:///x?********\""),
    ] {
        assert_eq!(mask(&Value::Text(text.to_owned())), shown);
    }
    assert_eq!(mask(&Value::Text("hunter2".to_owned())), "********");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let file = "\
listen = \"8080\"
[token]
acces_ttl = \"5m\"
algorithm = \"none\"
access_ttl = 600
[session]
idle_ttl = \"100d\"
[nonsense]
x = 1
";
    let invalid = try_load(
        file,
        &[("JOTGATE_TOKN_AUDIENCE", "x"), ("JOTGATE_REFRESH_GRACE", "1h")],
        &[("log.format", "xml")],
    );
    assert_snapshot!(invalid.unwrap_err(), @r#"
    token.acces_ttl (jotgate.toml:3): there is no such key; the nearest is token.access_ttl
    nonsense.x (jotgate.toml:9): there is no such key; the nearest is listen
    JOTGATE_TOKN_AUDIENCE: there is no such key; the nearest is JOTGATE_TOKEN_AUDIENCE
    listen (jotgate.toml:1): expected an address with a port, such as 127.0.0.1:8080, [::]:8080 or localhost:0, got "8080"
    log.format (--log-format): expected one of auto, json, text, got "xml"
    refresh.grace (JOTGATE_REFRESH_GRACE): expected a duration such as 10m or 14d (units s, m, h, d), from 0s to 1m, got "1h"
    token.access_ttl (jotgate.toml:5): expected a duration such as 10m or 14d (units s, m, h, d), from 1s to 1d, got 600
    token.algorithm (jotgate.toml:4): expected one of HS256, RS256, PS256, ES256, ES384, EdDSA, got "none"
    session.idle_ttl (jotgate.toml:7): 100d is longer than session.max_ttl, 90d: a session cannot be idle for longer than it lives
    "#);
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_line() {
    assert_snapshot!(refused("listen = \"127.0.0.1:1\"\n[token\naccess_ttl = \"5m\"\n"), @"jotgate.toml:2: not TOML: unclosed table, expected `]`");
    assert_snapshot!(refused("listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n"), @"jotgate.toml:2: not TOML: duplicate key");
}

#[test]
fn sections_and_values_of_the_wrong_kind() {
    assert_snapshot!(refused("token = 5"), @"token (jotgate.toml:1): is a section, not a key; its keys are token.audience, token.access_ttl, token.algorithm");
    assert_snapshot!(refused("[listen]\nport = 1"), @"listen.port (jotgate.toml:2): there is no such key; the nearest is listen");
    assert_snapshot!(refused("\"token.access_ttl\" = \"5m\""), @"token.access_ttl (jotgate.toml:1): quotes make one name of it: write it without them");
    assert_snapshot!(refused("[roles]\neditor = [\"a\"]"), @"roles.editor (jotgate.toml:2): is a section, not a key; write roles.NAME.permissions");
    assert_snapshot!(refused("[roles.\"a b\"]\npermissions = [\"x\"]"), @r#"roles.a b.permissions (jotgate.toml:2): expected a role named with 1 to 64 of A-Z a-z 0-9 _ . : -, got ["x"]"#);
    assert_snapshot!(refused("[roles.a]\npermissions = [\"x y\"]"), @r#"roles.a.permissions (jotgate.toml:2): expected permissions of 1 to 128 printable ASCII characters without spaces, got ["x y"]"#);
    assert_snapshot!(refused("[session]\nmax_per_user = 1.5"), @"session.max_per_user (jotgate.toml:2): expected a whole number from 1 to 10000, got a number with a fraction");
}

#[test]
fn service_links_of_kubernetes_are_left_alone() {
    let links = [
        ("JOTGATE_SERVICE_HOST", "10.0.0.1"),
        ("JOTGATE_SERVICE_PORT", "8080"),
        ("JOTGATE_SERVICE_PORT_HTTP", "8080"),
        ("JOTGATE_PORT", "tcp://10.0.0.1:8080"),
        ("JOTGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    ok("", &links, &[]);
    assert_snapshot!(refused_with(&[("JOTGATE_PORT", "8080")], &[]), @"JOTGATE_PORT: there is no such key; the nearest is JOTGATE_LISTEN");
}

#[test]
fn the_public_url_is_an_origin_and_encrypted_beyond_this_machine() {
    assert_snapshot!(refused("public_url = \"https://auth.example.com/login\""), @r#"public_url (jotgate.toml:1): expected an origin without a path, such as https://auth.example.com (it has a path: write it without, and without a slash at the end), got "https://auth.example.com/login""#);
    assert_snapshot!(refused("public_url = \"http://auth.example.com\""), @"public_url (jotgate.toml:1): http://auth.example.com would send passwords and cookies in clear: use https:// (behind a proxy, or with tls.cert and tls.key), or set allow_insecure_http = true on a network that you trust");
    assert_snapshot!(refused("listen = \"0.0.0.0:8080\""), @"listen (jotgate.toml:1): listen is 0.0.0.0:8080, every address of this machine, so the address that users see cannot be told: set public_url, such as https://auth.example.com");
    assert_snapshot!(refused("listen = \"192.168.1.1:8080\""), @"listen (jotgate.toml:1): http://192.168.1.1:8080 would send passwords and cookies in clear: use https:// (behind a proxy, or with tls.cert and tls.key), or set allow_insecure_http = true on a network that you trust");
    assert_snapshot!(refused("public_url = \"http://localhost:8443\"\n[tls]\ncert=\"c\"\nkey=\"k\""), @"public_url (jotgate.toml:1): http://localhost:8443 is http://, but with tls.cert the server speaks HTTPS: write https://");
    assert_snapshot!(refused("[tls]\ncert=\"c\""), @"tls.cert (jotgate.toml:2): tls.cert is set without tls.key: HTTPS needs both");
    ok("listen = \"0.0.0.0:8080\"\npublic_url = \"http://localhost:8080\"", &[], &[]);
    ok("listen = \"192.168.1.1:8443\"\n[tls]\ncert=\"c\"\nkey=\"k\"", &[], &[]);
    assert_snapshot!(warnings("allow_insecure_http = true\npublic_url = \"http://auth.lan\"").join("\n"), @"allow_insecure_http (jotgate.toml:1): http://auth.lan is not encrypted: whoever is on the network can read passwords and take over sessions");
}

/// Attack 87.
#[test]
fn the_cookie_domain_is_ours_alone_and_above_the_issuer() {
    let with = |host: &str, domain: &str| {
        try_load(
            &format!("public_url = \"{host}\"\ntrusted_proxies = \"10.0.0.7\"\ncookie.domain = \"{domain}\""),
            &[],
            &[],
        )
        .map_err(|invalid| invalid.to_string())
    };
    for (host, domain) in [
        ("https://auth.example.com", ".example.com"),
        ("https://auth.example.com", "auth.example.com"),
        ("https://a.b.example.co.uk", ".example.co.uk"),
        ("https://auth.corp.internal", ".corp.internal"),
        ("https://me.github.io", ".me.github.io"),
        ("http://auth.app.localhost:8080", ".app.localhost"),
    ] {
        with(host, domain).unwrap_or_else(|e| panic!("{e}"));
    }
    for (host, domain) in [
        ("https://auth.example.com", "com"),
        ("https://auth.example.co.uk", ".co.uk"),
        ("https://me.github.io", "github.io"),
        ("https://x.www.ck", "ck"),
        ("https://x.y.anything.ck", "anything.ck"),
        ("https://auth.xn--55qx5d.cn", "公司.cn"),
        ("https://auth.corp.internal", "internal"),
        ("http://localhost:8080", "localhost"),
        ("http://auth.localhost:8080", ".localhost"),
        ("https://auth.example.com", ".example.org"),
        ("https://auth.example.com", ".ample.com"),
        ("https://example.com", ".auth.example.com"),
        ("https://10.0.0.1", "example.com"),
    ] {
        assert!(with(host, domain).is_err(), "{host} {domain}");
    }
    let read = |host, domain| with(host, domain).map(|loaded| loaded.config).unwrap_err();
    assert_snapshot!(read("https://auth.example.co.uk", ".co.uk"), @"cookie.domain (jotgate.toml:3): .co.uk is a public suffix: strangers have domains under it, and browsers keep no cookie for it; use your own, such as .example.co.uk");
    assert_snapshot!(read("http://localhost:8080", "localhost"), @r#"cookie.domain (jotgate.toml:3): browsers keep no cookie for .localhost: to try single sign-on on one machine, use names such as auth.app.localhost with cookie.domain = ".app.localhost""#);
    assert_snapshot!(read("https://auth.example.com", "example.org"), @"cookie.domain (jotgate.toml:3): .example.org is not a parent of auth.example.com, the host of public_url: browsers would refuse the cookie");
    assert_snapshot!(refused("cookie.domain = \"example.com\""), @"cookie.domain (jotgate.toml:1): a cookie cannot have a domain where the issuer is an address, 127.0.0.1: set public_url to a host under .example.com");
}

#[test]
fn trusted_origins_are_exact_and_encrypted() {
    for bad in [
        "*",
        "https://*.example.com",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "http://app.example.com",
    ] {
        refused(&format!("cookie.trusted_origins = [\"{bad}\"]"));
    }
    assert_snapshot!(refused("cookie.trusted_origins = [\"https://*.example.com\"]"), @r#"cookie.trusted_origins (jotgate.toml:1): expected exact origins such as https://app.example.com (in "https://*.example.com": wildcards are not possible: list each origin), got ["https://*.example.com"]"#);
    ok("cookie.trusted_origins = [\"https://app.example.com\", \"http://localhost:3000\"]", &[], &[]);
}

#[test]
fn applications_on_other_root_domains_are_exact_and_elsewhere() {
    let own = "public_url = \"https://id.example.com\"\ncookie.domain = \".example.com\"\n";
    let with = |origin: &str| format!("{own}sso.origins = [\"{origin}\"]");
    for bad in [
        "*",
        "https://*.other.test",
        "null",
        "shop.other.test",
        "https://shop.other.test/",
        "https://other.test/shop",
    ] {
        refused(&with(bad));
    }
    assert_snapshot!(refused(&with("http://shop.other.test")), @"sso.origins (jotgate.toml:3): http://shop.other.test is not encrypted: whoever is on its network could take over its visitors; use https://");
    assert_snapshot!(refused(&with("https://id.example.com:8443")), @"sso.origins (jotgate.toml:3): https://id.example.com:8443 is on the host of public_url: cookies do not tell ports apart, so what is set for the one replaces that of the other; an application there needs no entry");
    assert_snapshot!(refused(&with("https://shop.example.com")), @"sso.origins (jotgate.toml:3): https://shop.example.com is under cookie.domain, .example.com: its cookie gets there by itself");
    ok(&with("https://shop.other.test:8443"), &[], &[]);
    ok(&with("https://shop.notexample.com"), &[], &[]);
    ok("sso.origins = [\"http://shop.localhost:3000\"]", &[], &[]);
    refused("sso.origins = [\"http://127.0.0.1:3000\"]");
}

#[test]
fn lifetimes_fit_each_other() {
    assert_snapshot!(refused("session.idle_ttl = \"100d\""), @"session.idle_ttl (jotgate.toml:1): 100d is longer than session.max_ttl, 90d: a session cannot be idle for longer than it lives");
    assert_snapshot!(refused("jwks.max_age = \"1h\"\nkey.rotation = \"1h\""), @"key.rotation (jotgate.toml:2): 1h is less than twice jwks.max_age, 2h: a key has to be known everywhere before it signs");
    assert_snapshot!(refused("token.access_ttl = \"2d\""), @r#"token.access_ttl (jotgate.toml:1): expected a duration such as 10m or 14d (units s, m, h, d), from 1s to 1d, got "2d""#);
    assert_snapshot!(warnings("token.access_ttl = \"2h\"\nsession.idle_ttl = \"1h\"").join("\n"), @"
    token.access_ttl (jotgate.toml:1): 2h is long: an application that does not follow revocations accepts a stolen token until it ends
    session.idle_ttl (jotgate.toml:2): 1h is shorter than token.access_ttl, 2h: no access token lives longer than an unused session
    ");
}

/// Attack 203.
#[test]
fn what_is_not_fit_for_production_is_refused_or_told() {
    let public = "public_url = \"https://auth.example.com\"\n";
    assert_snapshot!(refused(&format!("{public}password.hash = \"argon2id,m=1024,t=1\"")), @"password.hash (jotgate.toml:2): m=1024,t=1 is too cheap to guess against: at least m=7168,t=5 or m=19456,t=2");
    assert_snapshot!(warnings(&format!("{public}log.filter = \"debug\"\nregistration.enabled = true\nops.listen = \"main\"")).join("\n"), @"
    public_url (jotgate.toml:1): public_url is https:// and the server speaks http, so there is a proxy, but it is not listed: all clients share one address, and so one limit on failed logins
    ops.listen (jotgate.toml:4): `main` puts health, metrics and administration where everyone reaches them
    log.filter (jotgate.toml:2): `debug` logs more than production needs: slower, and more about each user than you may keep
    registration.enabled (jotgate.toml:3): anyone who reaches the server can make an account
    ");
    assert_snapshot!(warnings("password.hash = \"argon2id,m=8,t=1\"").join("\n"), @"password.hash (jotgate.toml:1): the hash is too cheap to guess against; it is accepted only because public_url is loopback");
    assert_snapshot!(warnings("trusted_proxies = \"0.0.0.0/0\"").join("\n"), @"trusted_proxies (jotgate.toml:1): 0.0.0.0/0 is everyone: any client can claim any address");
}

#[test]
fn a_rule_is_not_asked_about_a_key_that_could_not_be_read() {
    assert_snapshot!(refused("public_url = \"auth.example.com\"\ncookie.domain = \"example.com\""), @r#"public_url (jotgate.toml:1): expected an origin without a path, such as https://auth.example.com (it has no http:// or https:// in front), got "auth.example.com""#);
}

#[test]
fn settings_are_listed_in_order_with_roles() {
    let loaded =
        ok("[roles.b]\npermissions = [\"x\"]\n[roles.a]\npermissions = []", &[("JOTGATE_LISTEN", ":0")], &[]);
    let lines: Vec<String> =
        loaded.settings.iter().map(|s| format!("{} = {} ({})", s.key, s.value, s.source)).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    listen = ":0" (JOTGATE_LISTEN)
    public_url = http:// + listen; https:// with tls.* (default)
    allow_insecure_http = false (default)
    ops.listen = none (default)
    data_dir = "./jotgate-data" (default)
    database_url = sqlite:// + data_dir + /jotgate.db (default)
    master_key_file = data_dir + /master.key, made on first start (default)
    tls.cert = none (default)
    tls.key = none (default)
    trusted_proxies = none (default)
    verify.renew = false (default)
    token.audience = public_url (default)
    token.access_ttl = "10m" (default)
    token.algorithm = "ES256" (default)
    session.idle_ttl = "14d" (default)
    session.max_ttl = "90d" (default)
    session.max_per_user = 100 (default)
    refresh.grace = "10s" (default)
    cookie.name = "jwt" (default)
    cookie.domain = none (default)
    cookie.same_site = "lax" (default)
    cookie.trusted_origins = none (default)
    sso.origins = none (default)
    password.hash = "argon2id,m=19456,t=2,p=1" (default)
    password.min_length = 8 (default)
    registration.enabled = true while public_url is loopback, else false (default)
    roles.a.permissions = [] (jotgate.toml:4)
    roles.b.permissions = ["x"] (jotgate.toml:2)
    jwks.max_age = "5m" (default)
    status_list.ttl = "30s" (default)
    key.rotation = "90d" (default)
    log.filter = "info" (default)
    log.format = "auto" (default)
    "#);
}

#[test]
fn rules_for_applications_are_read_and_checked() {
    let file = "trusted_proxies = [\"10.0.0.7\"]\n\
                [rules.app]\nhost = [\"App.example.com\", \"*.apps.example.com\"]\n\
                [rules.admin]\nhost = \"app.example.com\"\npath = [\"/admin\", \"=/ops/\"]\nmethods = [\"GET\", \"POST\"]\n\
                role = \"admin\"\nscope = \"account\"\nmax_age = \"5m\"\n\
                [rules.home-page]\nhost = \"app.example.com\"\npath = \"=/\"\naccess = \"public\"";
    let loaded =
        ok(file, &[("JOTGATE_RULES_HOME_PAGE_METHODS", "GET,OPTIONS")], &[("rules.new.host", "b.test")]);
    let rules = &loaded.config.rules;
    assert_eq!(rules.keys().collect::<Vec<_>>(), ["admin", "app", "home-page", "new"]);
    assert_eq!(rules["app"].host[0].to_string(), "app.example.com");
    let admin = &rules["admin"];
    assert_eq!(admin.path[1].to_string(), "=/ops");
    assert_eq!(
        (&admin.methods[..], &admin.role[..]),
        (&["GET".to_owned(), "POST".to_owned()][..], &["admin".to_owned()][..])
    );
    assert_eq!(admin.max_age, Some(Duration::from_secs(300)));
    assert_eq!(rules["home-page"].methods, ["GET", "OPTIONS"]);
    assert_eq!(rules["home-page"].access, jotgate_domain::access::Access::Public);
    assert_eq!(loaded.warnings, []);

    let rule = |lines: &str| refused(&format!("trusted_proxies = \"10.0.0.7\"\n[rules.a]\n{lines}"));
    assert_snapshot!(rule("path = \"/x\""), @"rules.a.path (jotgate.toml:3): rules.a has no host: set rules.a.host to the names it is for");
    assert_snapshot!(rule("host = \"https://a.test/\""), @r#"rules.a.host (jotgate.toml:3): expected hosts such as app.example.com or *.example.com (in "https://a.test/": it is not a host name: no scheme, no path, no dot at the end), got "https://a.test/""#);
    assert_snapshot!(rule("host = \"*.com\""), @r#"rules.a.host (jotgate.toml:3): expected hosts such as app.example.com or *.example.com (in "*.com": what follows *. has to be a domain of yours, such as example.com), got "*.com""#);
    assert_snapshot!(rule("host = []"), @"rules.a.host (jotgate.toml:3): expected hosts such as app.example.com or *.example.com; an empty list says nothing, got []");
    assert_snapshot!(rule("host = \"a.test\"\npath = \"admin\""), @r#"rules.a.path (jotgate.toml:4): expected paths such as /admin or =/ (in "admin": a path begins with /), got "admin""#);
    assert_snapshot!(rule("host = \"a.test\"\nmethods = \"get\""), @r#"rules.a.methods (jotgate.toml:4): expected methods such as GET (in "get": methods in capitals, such as GET and POST), got "get""#);
    assert_snapshot!(rule("host = \"a.test\"\naccess = \"everyone\""), @r#"rules.a.access (jotgate.toml:4): expected one of public, signed_in, got "everyone""#);
    assert_snapshot!(rule("host = \"a.test\"\naccess = \"public\"\nrole = \"x\""), @"rules.a.host (jotgate.toml:3): rules.a is public and asks for rules.a.role: one of the two, since nobody has to be signed in");
    assert_snapshot!(rule("host = \"a.test\"\nmax_age = \"1s\""), @r#"rules.a.max_age (jotgate.toml:4): expected a duration such as 10m or 14d (units s, m, h, d), from 10s to 90d, got "1s""#);
    assert_snapshot!(rule("hosts = \"a.test\""), @"rules.a.hosts (jotgate.toml:3): there is no such key; the nearest is rules.a.host");
    assert_snapshot!(rule("host = \"a.test\"\n[rules.b]\nhost = \"A.test\"\npath = \"/\""), @"rules.a.host (jotgate.toml:3): rules.a and rules.b are for the same host, path and methods: make one rule of them");
    assert_snapshot!(refused("[rules.\"A b\"]\nhost = \"a.test\""), @r#"rules.A b.host (jotgate.toml:2): expected a rule named with 1 to 64 of a-z 0-9 _ -, got "a.test""#);
    assert_snapshot!(refused("[rules.a]"), @"rules.a (jotgate.toml:1): is a section, not a key; its keys are rules.a.host, rules.a.path, rules.a.methods, rules.a.access, rules.a.role, rules.a.scope, rules.a.max_age");
    assert_snapshot!(refused("[rules]\na = 1"), @"rules.a (jotgate.toml:2): is a section, not a key; its keys are rules.a.host, rules.a.path, rules.a.methods, rules.a.access, rules.a.role, rules.a.scope, rules.a.max_age");
    assert_snapshot!(warnings("[rules.a]\nhost = \"a.test\"").join("\n"), @"rules.a.host (jotgate.toml:2): there are rules, but trusted_proxies is empty: nobody is believed about the request that is asked for, so all are refused");
}

#[test]
fn the_configuration_in_the_page_about_proxies_is_one() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/proxies.md"));
    let toml = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let loaded = ok(toml, &[], &[]);
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.rules.len(), 3);
}
