//! `GET /metrics`: everything that is counted, as text for Prometheus.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::error::{Code, OAuthCode};
use crate::metrics::{self, Counter, Histogram, Kind, Text};
use crate::server::Server;

/// Route patterns that are told apart, an embedding application's included; beyond, requests count as `other`.
const MOST_ROUTES: usize = 200;
/// What no route matched.
const NO_ROUTE: &str = "none";
const OTHER: &str = "other";

pub(crate) fn router(server: &Server) -> Router {
    Router::new().route("/metrics", get(answer)).with_state(server.clone())
}

async fn answer(State(server): State<Server>) -> impl IntoResponse {
    let mut text = Text::default();
    text.family("jotgate_build_info", Kind::Gauge, "1; its label says which version runs.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    server.site().metrics.write(&mut text);
    server.app().write_metrics(&mut text);
    metrics::write_process(&mut text, server.site().started.secs());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text.finish())
}

/// Requests by route and class of status, and refusals by code.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    /// A pattern is added when it first matches; afterwards this is only read.
    routes: ArcSwap<HashMap<Box<str>, Arc<Route>>>,
    refusals: HashMap<&'static str, Counter>,
    other_refusals: Counter,
}

/// By first digit of the status: 1xx to 5xx.
type Route = [Histogram; 5];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Default for HttpMetrics {
    fn default() -> Self {
        let codes = Code::ALL.iter().map(|code| code.as_str());
        let codes = codes.chain(OAuthCode::ALL.iter().map(|code| code.as_str()));
        Self {
            routes: ArcSwap::default(),
            refusals: codes.map(|code| (code, Counter::default())).collect(),
            other_refusals: Counter::default(),
        }
    }
}

impl HttpMetrics {
    /// `route`: the pattern that matched, empty where none did. `code`: of a refusal.
    pub(super) fn count(&self, route: &str, status: StatusCode, took: Duration, code: Option<&str>) {
        let route = if route.is_empty() { NO_ROUTE } else { route };
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        let observe = |route: &Route| {
            if let Some(histogram) = route.get(class) {
                histogram.observe(took);
            }
        };
        match self.routes.load().get(route) {
            Some(route) => observe(route),
            None => observe(&self.add(route)),
        }
        if let Some(code) = code {
            self.refusals.get(code).unwrap_or(&self.other_refusals).add_one();
        }
    }

    fn add(&self, route: &str) -> Arc<Route> {
        let added = Arc::<Route>::default();
        self.routes.rcu(|routes| {
            let name = if routes.len() < MOST_ROUTES { route } else { OTHER };
            let mut routes = HashMap::clone(routes);
            routes.entry(name.into()).or_insert_with(|| Arc::clone(&added));
            routes
        });
        let routes = self.routes.load();
        // Of two that add the same route, one's is kept.
        routes.get(route).or_else(|| routes.get(OTHER)).map_or(added, Arc::clone)
    }

    fn write(&self, text: &mut Text) {
        text.family(
            "jotgate_http_request_duration_seconds",
            Kind::Histogram,
            "Requests by route pattern and class of status, and how long each took until its answer began.",
        );
        let routes = self.routes.load();
        let mut routes: Vec<_> = routes.iter().collect();
        routes.sort_by_key(|(route, _)| *route);
        for (route, classes) in routes {
            for (class, histogram) in CLASSES.iter().zip(classes.iter()) {
                if histogram.count() > 0 {
                    text.histogram(&[("route", route), ("status", class)], histogram);
                }
            }
        }
        text.family("jotgate_refusals_total", Kind::Counter, "Refused requests by their stable code.");
        let mut refusals: Vec<_> = self.refusals.iter().map(|(code, counter)| (*code, counter)).collect();
        refusals.push((OTHER, &self.other_refusals));
        refusals.sort_by_key(|(code, _)| *code);
        for (code, counter) in refusals {
            text.sample(&[("code", code)], counter.value());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_a_bound_and_the_rest_is_counted_together() {
        let metrics = HttpMetrics::default();
        for n in 0..1000 {
            metrics.count(&format!("/app/{n}"), StatusCode::OK, Duration::ZERO, Some("no such code"));
        }
        metrics.count("", StatusCode::NOT_FOUND, Duration::ZERO, Some("not_found"));
        assert_eq!(metrics.routes.load().len(), MOST_ROUTES + 1);
        let mut text = Text::default();
        metrics.write(&mut text);
        let text = text.finish();
        let other = r#"jotgate_http_request_duration_seconds_count{route="other",status="2xx"} 800"#;
        assert!(text.contains(other), "{text}");
        assert!(text.contains(r#"jotgate_refusals_total{code="other"} 1000"#), "{text}");
        assert!(text.contains(r#"jotgate_refusals_total{code="not_found"} 1"#), "{text}");
    }

    #[test]
    fn parallel_first_requests_of_a_route_are_all_counted() {
        let metrics = HttpMetrics::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..150 {
                        metrics.count(&format!("/{n}"), StatusCode::OK, Duration::ZERO, None);
                    }
                });
            }
        });
        let counts: Vec<u64> = metrics.routes.load().values().map(|route| route[1].count()).collect();
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (150, 600));
    }
}
