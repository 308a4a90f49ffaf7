//! The pages about the figures: what stands between two marks is written anew, what people wrote stays.

use crate::measure::CHAPTERS;
use crate::plan;
use crate::program::Outcome;
use crate::report::{Part, bars};

/// `<!-- begin NAME -->`, where the name is a part's, `machine`, `summary`, or one of [`plan`].
pub(crate) fn filled(page: &str, machine: &str, parts: &[Part]) -> Outcome<String> {
    let cores = f64::from(u32::try_from(std::thread::available_parallelism()?.get())?);
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- begin ") {
        let (name, after) = after.split_once(" -->\n").ok_or("a mark that does not end")?;
        let end = format!("<!-- end {name} -->");
        let (_, after) = after.split_once(&end).ok_or_else(|| format!("`{name}` begins and does not end"))?;
        let between = match name {
            "machine" => format!("{machine}\n"),
            "summary" => summary(parts),
            name => match (plan::section(name, parts, cores), parts.iter().find(|part| part.name == name)) {
                (Some(section), _) => section,
                (None, Some(part)) => of_part(part),
                (None, None) if CHAPTERS.iter().any(|chapter| chapter.name == name) => {
                    "Not measured in this run.".to_owned()
                }
                (None, None) => return Err(format!("there is no part `{name}`").into()),
            },
        };
        text += before;
        text += &format!("<!-- begin {name} -->\n\n{}\n\n{end}", between.trim());
        rest = after;
    }
    Ok(text + rest)
}

/// What has a bar, and how many of the bars are met.
fn summary(parts: &[Part]) -> String {
    let rows = || parts.iter().flat_map(|part| &part.rows).filter(|row| row.bar.is_some());
    let met = rows().filter(|row| row.is_met()).count();
    format!("{met} of {} bars are met.\n\n{}", rows().count(), bars(rows()))
}

fn of_part(part: &Part) -> String {
    let picture = crate::plot::svg(part)
        .map_or_else(String::new, |_| format!("![{0}](../bench/results/{1}.svg)\n", part.title, part.name));
    format!("{}\n\n{}{picture}", part.about, bars(part.rows.iter()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Bar, Figures, Row};

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = "# Speed\n<!-- begin machine -->\nold\n<!-- end machine -->\nBy hand.\n\
                    <!-- begin summary -->\n<!-- end summary -->\n<!-- begin a -->\n<!-- end a -->\nThe end.\n";
        let row = |what, value| Row::figure(what, value, "s", Some(Bar::AtMost(1.0)), "");
        let rows = vec![row("good", 0.5), row("bad", 2.0), Row::figure("free", 3.0, "s", None, "")];
        let figures = vec![Figures::one("x", "s", 1.0), Figures::one("y", "s", 2.0)];
        let parts = [Part { name: "a", title: "A", about: "About.".to_owned(), figures, rows }];
        let text = filled(page, "new", &parts).unwrap();
        assert!(
            text.starts_with("# Speed\n<!-- begin machine -->\n\nnew\n\n<!-- end machine -->\nBy hand.\n")
        );
        assert!(
            text.contains("1 of 2 bars are met.") && text.ends_with("<!-- end a -->\nThe end.\n"),
            "{text}"
        );
        assert_eq!(text.matches("| good |").count(), 2);
        assert_eq!(text.matches("| free |").count(), 1);
        assert!(text.contains("![A](../bench/results/a.svg)"));
        assert_eq!(filled(&text, "new", &parts).unwrap(), text);
        let wrong = filled("<!-- begin b -->\n<!-- end b -->", "", &parts).unwrap_err();
        assert_eq!(wrong.to_string(), "there is no part `b`");
    }
}
