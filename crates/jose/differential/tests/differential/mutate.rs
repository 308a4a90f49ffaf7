//! The ways to spoil a token.

use serde_json::{Value, json};

use super::Case;
use super::forger::{Forger, KINDS, NOW, b64, good_claims};
use super::random::Random;

/// So many cases, spread over algorithms and ways to spoil.
pub(crate) fn cases(random: &mut Random, count: usize) -> Vec<Case> {
    let forgers: Vec<Forger> = KINDS.into_iter().map(Forger::new).collect();
    (0..count)
        .map(|_| {
            // Signing with RSA takes long.
            let forger =
                if random.below(8) == 0 { &forgers[1 + random.below(2)] } else { random.pick(&forgers) };
            let (class, token) = spoil(forger, random);
            let jwk = match forger.key.verifying_key().to_public_jwk() {
                Some(jwk) => serde_json::from_str(&jwk).unwrap_or_default(),
                None => forger.jwk.clone(),
            };
            let ours = forger.verify(&token).map(|_| ());
            Case { alg: forger.key.algorithm(), jwk, token, class, ours }
        })
        .collect()
}

fn spoil(forger: &Forger, random: &mut Random) -> (&'static str, String) {
    match random.below(13) {
        0 => ("good", forger.good()),
        1 => ("character of the token", change_text(&forger.good(), random)),
        2 => ("end of a part", change_ends(&forger.good(), random)),
        3 => ("bytes of the signature", change_signature(&forger.good(), random)),
        4 => ("header text, signed", {
            let header = change_json(&forger.header().to_string(), random);
            forger.token(header, good_claims().to_string())
        }),
        5 | 6 => {
            ("claims text, signed", forger.with_payload(change_json(&rich_claims().to_string(), random)))
        }
        7 => ("header member, signed", forger.with_header(&change_header(forger.header(), random))),
        8 | 9 => ("claim, signed", forger.with_payload(change_claim(rich_claims(), random).to_string())),
        10 => ("times, signed", forger.with_payload(change_times(good_claims(), random).to_string())),
        11 => ("spelling of base64, signed", spell(forger, random)),
        _ => ("raw value of a claim, signed", {
            let name = random.text(&CLAIMS);
            forger.with_raw_claim(name, random.text(&RAW_VALUES))
        }),
    }
}

const CLAIMS: [&str; 12] =
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "roles", "status", "other"];

/// Values that JSON readers disagree about, or that a verifier may take for something else.
const RAW_VALUES: [&str; 40] = [
    "null",
    "true",
    "0",
    "-1",
    "-0",
    "1.5",
    "1e10",
    "1E10",
    "1e400",
    "1790000600",
    "1790000600.0",
    "1790000600.9",
    "\"1790000600\"",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551616",
    "[]",
    "{}",
    "[\"https://api.example.com\"]",
    "\"\"",
    "[\"https://api.example.com\",7]",
    "[[\"https://api.example.com\"]]",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "01",
    "NaN",
    "Infinity",
    "'x'",
    "\"\t\"",
    "\"\\x\"",
    "[1,]",
    "{\"a\":1,\"a\":2}",
    "\"a\" ",
    " \"a\"",
    "1 ",
    "\"\u{7f}\"",
    "\"\u{2028}\"",
    "\"\\/\"",
    "179e7",
];

/// All claims that the contract knows.
fn rich_claims() -> Value {
    let mut claims = good_claims();
    claims["nbf"] = json!(NOW);
    claims["sid"] = json!("s1");
    claims["auth_time"] = json!(NOW - 10);
    claims["preferred_username"] = json!("ada \u{e9}");
    claims["email"] = json!("ada@example.com");
    claims["permissions"] = json!(["read", "write"]);
    claims["status"] = json!({"status_list": {"idx": 7, "uri": "https://login.example.com/auth/status/1"}});
    claims
}

/// Changes, inserts, removes or doubles a character.
fn change_text(text: &str, random: &mut Random) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n";
    let mut bytes = text.as_bytes().to_vec();
    let at = random.below(bytes.len());
    let byte = *random.pick(ALPHABET);
    match random.below(4) {
        0 => bytes.insert(at, byte),
        1 => drop(bytes.remove(at)),
        2 => bytes[at] = byte,
        _ => bytes.swap(at, random.below(text.len())),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Changes the last characters of a part, where the unused bits are.
fn change_ends(text: &str, random: &mut Random) -> String {
    let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    let chosen = random.below(parts.len());
    let part = &mut parts[chosen];
    match random.below(4) {
        0 => part.push_str(random.text(&["=", "==", "A", ".", "\n", " ", "%3D", "\u{0}"])),
        1 => part.insert_str(0, random.text(&["=", "A", "\n", " ", "\u{feff}"])),
        _ => {
            part.pop();
            part.push(*random.pick(&['A', 'B', 'C', 'D', 'E', 'I', 'Q', 'g', 'w', '_', '-', '/', '+']));
        }
    }
    parts.join(".")
}

fn change_signature(text: &str, random: &mut Random) -> String {
    let (input, signature) = text.rsplit_once('.').unwrap_or_default();
    let mut bytes = super::forger::unb64(signature);
    let half = bytes.len() / 2;
    match random.below(8) {
        0 => bytes.clear(),
        1 => bytes.fill(0),
        2 => bytes[..half].fill(0),
        3 => bytes[half..].fill(0),
        4 => bytes.push(0),
        5 => drop(bytes.pop()),
        6 => bytes.rotate_left(half),
        _ => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
    }
    format!("{input}.{}", b64(bytes))
}

/// Changes JSON text: most results are no JSON any more, some are the same value, some another one.
fn change_json(text: &str, random: &mut Random) -> Vec<u8> {
    const PIECES: &[&str] = &[
        "\"",
        "\\",
        ",",
        ":",
        "{",
        "}",
        "[",
        "]",
        " ",
        "\n",
        "\t",
        "0",
        "-",
        ".",
        "e",
        "null",
        "true",
        "\\u0061",
        "\\u0000",
        "\\ud800",
        "\u{0}",
        "\u{feff}",
        "//",
        "\"a\":1,",
        "\"exp\":1,",
        ",\"a\":{\"b\":[1,{}]}",
        "é",
        "\u{1f600}",
        "\u{7f}",
        "1e5",
        "\\/",
        "'",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(2) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => drop(bytes.remove(at)),
            1 => bytes[at] = u8::try_from(random.below(256)).unwrap_or(0),
            2 => bytes[at] = bytes[at].to_ascii_uppercase(),
            3 => {
                // A member or a piece of one twice.
                let end = (at + 1 + random.below(30)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(end..end, piece);
            }
            _ => {
                bytes.splice(at..at, random.pick(PIECES).bytes());
            }
        }
    }
    bytes
}

fn change_header(mut header: Value, random: &mut Random) -> Value {
    let value = random
        .pick(&[
            json!("none"),
            json!("None"),
            json!("HS256"),
            json!("RS256"),
            json!("PS256"),
            json!("ES256"),
            json!("EdDSA"),
            json!("Ed25519"),
            json!(null),
            json!(1),
            json!([]),
            json!(["exp"]),
            json!(["b64"]),
            json!({}),
            json!(true),
            json!(false),
            json!(""),
            json!("JWT"),
            json!("at+jwt"),
            json!("AT+JWT"),
            json!("application/at+jwt"),
            json!("x"),
            json!("\u{e9}"),
        ])
        .clone();
    let name = *random
        .pick(&["alg", "typ", "kid", "crit", "b64", "cty", "enc", "zip", "Alg", "x", "epk", "exp", "iss"]);
    if random.below(4) == 0 {
        header.as_object_mut().and_then(|header| header.remove(name));
    } else {
        header[name] = value;
    }
    header
}

fn change_claim(mut claims: Value, random: &mut Random) -> Value {
    let value = random
        .pick(&[
            json!(null),
            json!(1),
            json!(-1),
            json!(1.5),
            json!(true),
            json!([]),
            json!({}),
            json!(""),
            json!("x"),
            json!(["x"]),
            json!([1]),
            json!(super::forger::AUDIENCE),
            json!([super::forger::AUDIENCE]),
            json!([super::forger::AUDIENCE, "x"]),
            json!([super::forger::AUDIENCE, 1]),
            json!(super::forger::ISSUER),
            json!([super::forger::ISSUER]),
            json!(NOW + 60),
            json!("\u{e9}\u{1f600}\n\"\\"),
            json!({"status_list": {"idx": 1}}),
            json!([null]),
            json!(format!("{}/", super::forger::ISSUER)),
        ])
        .clone();
    let name = *random.pick(&[
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "sid",
        "auth_time",
        "roles",
        "permissions",
        "email",
        "preferred_username",
        "status",
        "other",
        "EXP",
        "Aud",
        "ISS",
    ]);
    if random.below(4) == 0 {
        claims.as_object_mut().and_then(|claims| claims.remove(name));
    } else {
        claims[name] = value;
    }
    claims
}

fn change_times(mut claims: Value, random: &mut Random) -> Value {
    for name in ["exp", "nbf", "iat"] {
        let off = i64::try_from(random.below(7)).unwrap_or(0) - 3;
        let at = i64::try_from(NOW).unwrap_or(0) + off * *random.pick(&[0, 1, 1, 20, 40, 1000]);
        let fraction = *random.pick(&[0.0, 0.0, 0.5, 0.001, 0.999]);
        let value = if fraction == 0.0 { json!(at) } else { json!(at as f64 + fraction) };
        if random.below(3) == 0 {
            claims[name] = value;
        }
    }
    claims
}

/// Good header and claims in base64 that is not quite base64url, signed as it stands.
fn spell(forger: &Forger, random: &mut Random) -> String {
    let parts = format!("{}.{}", b64(forger.header().to_string()), b64(good_claims().to_string()));
    let changed = change_ends(&parts, random);
    match changed.split_once('.') {
        Some((header, payload)) => forger.spelled(header, payload),
        None => changed,
    }
}
