//! The arithmetic of `docs/scale.md`: from what was measured to what a billion users need. The page has the words.

use std::fmt::Write as _;

use crate::report::{Part, shown};

/// The demand that the page assumes, a second at the peak.
const VERIFICATIONS: f64 = 2_080_000.0;
const REFRESHES: f64 = 62_500.0;
const LOGINS: f64 = 1040.0;
const LOGOUTS: f64 = 520.0;
const USERS: f64 = 1e9;
const SESSIONS: f64 = 2e9;
/// How much busier the peak is, and what a user does a day.
const PEAK: f64 = 3.0;
const REFRESHES_A_DAY: f64 = 1.8;
const LOGINS_A_DAY: f64 = 0.03;
const DAY: f64 = 86_400.0;
const PARTITIONS: f64 = 32.0;
/// How long a revocation is kept, in seconds.
const KEPT: f64 = 720.0;

/// What was measured; NaN, which is shown as a dash, where it was not.
struct Measured {
    verify_us: f64,
    logins: f64,
    logins_a_core: f64,
    refreshes: f64,
    refresh_node_us: f64,
    refresh_postgres_us: f64,
    refresh_log: f64,
    user_bytes: f64,
    session_bytes: f64,
    revocation_bytes: f64,
    feed_us: f64,
    feed_ms: f64,
}

/// What stands between the marks of this name; none for a name that is no part of the plan.
pub(crate) fn section(name: &str, parts: &[Part], cores: f64) -> Option<String> {
    let measured = Measured::of(parts, cores);
    match name {
        "inputs" => Some(measured.inputs()),
        "needs" => Some(measured.needs()),
        "limits" => Some(measured.limits()),
        _ => None,
    }
}

impl Measured {
    fn of(parts: &[Part], cores: f64) -> Self {
        let part = |name: &str| parts.iter().find(|part| part.name == name);
        let figure = |name: &str, begins: &str, unit: &str| {
            let figures = part(name).into_iter().flat_map(|part| &part.figures);
            let found =
                figures.into_iter().find(|one| one.name.starts_with(begins) && one.unit.starts_with(unit));
            found.map_or(f64::NAN, |figures| figures.median())
        };
        let row = |name: &str, begins: &str| {
            let found = part(name).and_then(|part| part.rows.iter().find(|row| row.what.starts_with(begins)));
            found.map_or(f64::NAN, |row| row.value)
        };
        let logins = figure("login", "Jotgate", "1/s");
        Self {
            // Seconds a million are microseconds each.
            verify_us: row("cost", "processor time of a million verifications"),
            logins,
            logins_a_core: logins / cores,
            refreshes: figure("writes", "Jotgate refresh, PostgreSQL", "1/s"),
            refresh_node_us: figure("scale", "refresh, 1 node", "µs of the node"),
            refresh_postgres_us: figure("scale", "refresh, 1 node", "µs of PostgreSQL"),
            refresh_log: figure("scale", "refresh, 1 node", "bytes"),
            user_bytes: row("size", "disk of a user, PostgreSQL"),
            session_bytes: row("size", "disk of a session, PostgreSQL"),
            revocation_bytes: row("size", "memory, PostgreSQL") * f64::from(1 << 20) / 1e6,
            feed_us: figure("feed", "processor time", "µs"),
            feed_ms: row("feed", "logout until a follower has it"),
        }
    }

    fn inputs(&self) -> String {
        let mut table = Table::new("measured | | in");
        for (what, value, unit, part) in [
            ("a verification through a proxy, warm, on a node", self.verify_us, "µs", "cost"),
            ("logins a core", self.logins_a_core, "1/s", "login"),
            ("a refresh on a node", self.refresh_node_us, "µs", "scale"),
            ("a refresh in PostgreSQL", self.refresh_postgres_us, "µs", "scale"),
            ("a refresh in its write-ahead log", self.refresh_log, "B", "scale"),
            ("refreshes of one node on one PostgreSQL", self.refreshes, "1/s", "writes"),
            ("a user on the disk of PostgreSQL", self.user_bytes, "B", "size"),
            ("a session there", self.session_bytes, "B", "size"),
            ("a revocation in the memory of a node", self.revocation_bytes, "B", "size"),
            ("to tell one follower of one logout", self.feed_us, "µs", "feed"),
            ("until it knows, p99", self.feed_ms, "ms", "feed"),
        ] {
            table.row(what, &format!("{} | {unit}", shown(value)), part);
        }
        table.0
    }

    /// Cores of nodes: verifications, logins, refreshes.
    fn cores(&self) -> [f64; 3] {
        [
            VERIFICATIONS * self.verify_us / 1e6,
            LOGINS / self.logins_a_core,
            REFRESHES * self.refresh_node_us / 1e6,
        ]
    }

    fn followers_a_core(&self) -> f64 {
        1e6 / self.feed_us / LOGOUTS
    }

    fn needs(&self) -> String {
        let [verify, login, refresh] = self.cores();
        let all = verify + login + refresh;
        let database = REFRESHES * self.refresh_postgres_us / 1e6;
        let log = REFRESHES * self.refresh_log / 1e6;
        let [users, sessions] = [USERS * self.user_bytes / 1e9, SESSIONS * self.session_bytes / 1e9];
        let revocations = KEPT * LOGOUTS;
        let [verify_us, node_us, database_us, log_bytes, user, session, revocation] = [
            self.verify_us,
            self.refresh_node_us,
            self.refresh_postgres_us,
            self.refresh_log,
            self.user_bytes,
            self.session_bytes,
            self.revocation_bytes,
        ]
        .map(shown);
        let mut table = Table::new("arithmetic | needed");
        let mut row = |what: &str, how: String, value: f64, unit: &str| {
            table.row(what, &how, &format!("**{}** {unit}", shown(value)));
        };
        row("verifications through a proxy", format!("2,080,000/s × {verify_us} µs"), verify, "cores");
        row("logins", format!("1,040/s over {}/s a core", shown(self.logins_a_core)), login, "cores");
        row("refreshes, nodes", format!("62,500/s × {node_us} µs"), refresh, "cores");
        row("nodes of eight cores", format!("{} cores / 8", shown(all)), all / 8.0, "nodes");
        row("refreshes, databases", format!("62,500/s × {database_us} µs"), database, "cores");
        row("write-ahead log of the refreshes", format!("62,500/s × {log_bytes} B"), log, "MB/s");
        row("disk of the users", format!("1,000 M × {user} B"), users, "GB");
        row("disk of the sessions", format!("2,000 M × {session} B"), sessions, "GB");
        row("revocations that are kept", "12 min × 60 × 520/s".to_owned(), revocations, "entries");
        row(
            "memory of them in each node",
            format!("{} × {revocation} B", shown(revocations)),
            revocations * self.revocation_bytes / 1e6,
            "MB",
        );
        row(
            "followers that a core tells of every logout",
            format!("10^6 µs / ({} µs × 520)", shown(self.feed_us)),
            self.followers_a_core(),
            "followers",
        );
        row(
            "each of 32 partitions: refreshes",
            "62,500/s / 32".to_owned(),
            REFRESHES / PARTITIONS,
            "a second",
        );
        row(
            "each of 32 partitions: disk",
            format!("({} + {}) GB / 32", shown(users), shown(sessions)),
            (users + sessions) / PARTITIONS,
            "GB",
        );
        table.0
    }

    fn limits(&self) -> String {
        let mut table = Table::new("arithmetic | breaks at");
        let mut row = |what: &str, how: String, value: f64, unit: &str| {
            table.row(what, &how, &format!("**{}** {unit}", shown(value)));
        };
        row(
            "the hashes of one node of two cores",
            format!("{}/s × 86,400 s / 3 / 0.03 logins a user and day", shown(self.logins)),
            self.logins * DAY / PEAK / LOGINS_A_DAY / 1e6,
            "M users",
        );
        row("connections of one PostgreSQL, 500", "500 / (16 + 1)".to_owned(), 500.0 / 17.0, "nodes");
        row(
            "writes of one PostgreSQL of two cores",
            format!("{}/s × 86,400 s / 3 / 1.8 refreshes a user and day", shown(self.refreshes)),
            self.refreshes * DAY / PEAK / REFRESHES_A_DAY / 1e6,
            "M users",
        );
        row(
            "a write-ahead log of 200 MB/s",
            format!("200 × 10^6 / {} B", shown(self.refresh_log)),
            2e8 / self.refresh_log,
            "refreshes a second",
        );
        row(
            "a core that tells followers of every logout",
            format!("10^6 µs / ({} µs × 520)", shown(self.feed_us)),
            self.followers_a_core(),
            "followers",
        );
        let lists = SESSIONS / f64::from(1 << 20);
        row("status lists", "2,000 M / 2^20 entries".to_owned(), lists, "lists");
        row(
            "a verifier that polls all of them",
            "1,907 / 15 s".to_owned(),
            lists / 15.0,
            "requests a second",
        );
        table.0
    }
}

/// Markdown with a first column of names.
struct Table(String);

impl Table {
    fn new(columns: &str) -> Self {
        let count = columns.matches('|').count() + 2;
        Self(format!("| | {columns} |\n|{}\n", "---|".repeat(count)))
    }

    fn row(&mut self, what: &str, how: &str, value: &str) {
        let _ = writeln!(self.0, "| {what} | {how} | {value} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Figures, Row};

    #[test]
    fn the_page_follows_from_what_was_measured() {
        let part = |name, figures, rows| Part { name, title: "t", about: String::new(), figures, rows };
        let one = Figures::one;
        let row = |what: &str, value| Row::figure(what, value, "", None, "");
        let parts = [
            part("login", vec![one("Jotgate logins, 8 clients", "1/s", 80.0)], vec![]),
            part("cost", vec![], vec![row("processor time of a million verifications", 20.0)]),
            part("scale", vec![one("refresh, 1 node, 20 users", "µs of PostgreSQL", 100.0)], vec![]),
        ];
        let needs = section("needs", &parts, 2.0).unwrap();
        assert!(needs.contains("| 2,080,000/s × 20.0 µs | **41.6** cores |"), "{needs}");
        assert!(needs.contains("| 1,040/s over 40.0/s a core | **26.0** cores |"), "{needs}");
        assert!(needs.contains("| 62,500/s × 100 µs | **6.25** cores |"), "{needs}");
        assert!(needs.contains("| 1,000 M × – B | **–** GB |"), "{needs}");
        let limits = section("limits", &parts, 2.0).unwrap();
        assert!(limits.contains("**76.8** M users"), "{limits}");
        let inputs = section("inputs", &parts, 2.0).unwrap();
        assert!(inputs.contains("| logins a core | 40.0 | 1/s | login |"), "{inputs}");
        for table in [inputs, needs, limits] {
            let columns = |line: &str| line.matches('|').count();
            assert!(
                table.lines().all(|line| columns(line) == columns(table.lines().next().unwrap())),
                "{table}"
            );
        }
        assert!(section("verify", &parts, 2.0).is_none());
    }
}
