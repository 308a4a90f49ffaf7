use super::{Scanner, unescape};
use crate::error::Error;

fn check(text: &str) -> Result<(), Error> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.space();
    scanner.skip()?;
    scanner.end()
}

#[test]
fn accepts_json() {
    for text in [
        "{}",
        "[]",
        "0",
        "-0",
        "1e5",
        "1.5E-3",
        "\"\"",
        "true",
        " { \"a\" : [ 1 , {\"a\":null} ] } \n",
        r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#,
        r#""\ud83d\ude00 \u00e9 \/ \b\f\n\r\t\\\"""#,
        "[[],{},[{}]]",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn refuses_what_is_not_json() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "{]",
        "[}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "{,}",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "True",
        "nul",
        "'a'",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"\n\"",
        "{} {}",
        "[1 2]",
        "{\"a\" 1}",
        "{a:1}",
        "\u{feff}{}",
        "[1]]",
        "// x\n1",
        "1 1",
        "[\"a\":1]",
    ] {
        assert_eq!(check(text), Err(Error::Malformed), "{text}");
    }
}

/// Readers turn these into infinity, an error or a string.
#[test]
fn numbers_are_finite() {
    let long = "9".repeat(400);
    for text in
        ["1e400", "-1e400", "1e309", "[1E999]", "{\"a\":{\"b\":1e99999999999}}", &long, &format!("{long}.5")]
    {
        assert_eq!(check(text), Err(Error::Malformed), "{text}");
    }
    for text in ["1e308", "1e-400", "-1E+5", &"9".repeat(300), &format!("0.{long}")] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

/// Attack A45: lone surrogates and NUL.
#[test]
fn a45_refuses_text_that_is_no_text() {
    for text in [
        r#""\ud800""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\ud800\ud800""#,
        r#""\udc00""#,
        r#""\u0000""#,
        "\"\0\"",
    ] {
        assert_eq!(check(text), Err(Error::Malformed), "{text:?}");
    }
}

#[test]
fn refuses_a_member_twice_at_any_depth() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"[{"a":1,"b":2,"a":3}]"#,
        r#"{"x":{"y":{"a":1,"a":2}}}"#,
        r#"{"a":{"b":1},"c":1,"a":2}"#,
        r#"{"":1,"":2}"#,
        r#"[{"a":{"z":1},"a":{"z":1}}]"#,
    ] {
        assert_eq!(check(text), Err(Error::Malformed), "{text}");
    }
    assert_eq!(check(r#"{"a":{"a":1},"b":{"a":1},"A":1}"#), Ok(()));
}

#[test]
fn many_members_stay_bounded_and_compared() {
    let object = |n: usize| {
        let members: Vec<String> = (0..n).map(|i| format!("\"m{i}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(check(&object(200)), Ok(()));
    assert_eq!(check(&object(5000)), Err(Error::Malformed));
    for again in [0, 10, 23, 24, 25, 100] {
        let text = object(120).replace("\"m119\"", &format!("\"m{again}\""));
        assert_eq!(check(&text), Err(Error::Malformed), "m{again} twice");
    }
}

#[test]
fn depth_is_bounded() {
    assert_eq!(check(&format!("{}{}", "[".repeat(32), "]".repeat(32))), Ok(()));
    assert_eq!(check(&format!("{}{}", "[".repeat(34), "]".repeat(34))), Err(Error::Malformed));
    assert_eq!(check(&"[".repeat(100_000)), Err(Error::Malformed));
    assert_eq!(check(&"{\"a\":".repeat(100_000)), Err(Error::Malformed));
}

#[test]
fn unescapes() {
    assert_eq!(unescape(r#"a\"b\\c\/d\b\f\n\r\té😀"#), "a\"b\\c/d\u{8}\u{c}\n\r\té😀");
    assert_eq!(unescape(r"\ud83d\ude00\u00e9x"), "😀éx");
    assert_eq!(unescape("plain é"), "plain é");
}
