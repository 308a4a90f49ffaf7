//! `GET /auth/providers`: with whom people can sign in here, for applications that draw the buttons themselves.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::Offered;
use crate::server::Server;

#[derive(Serialize)]
struct ProviderView<'a> {
    name: &'a str,
    label: &'a str,
    preset: Option<&'static str>,
    url: String,
    recent: bool,
}

impl<'a> ProviderView<'a> {
    fn of(server: &Server, one: Offered<'a>) -> Self {
        let Offered { name, label, preset, tells_when } = one;
        let url = format!("{}/login/{name}", server.app().issuer());
        Self { name, label, preset, url, recent: tells_when }
    }
}

pub(super) async fn list(State(server): State<Server>) -> Response {
    let views: Vec<_> = server.app().providers().map(|one| ProviderView::of(&server, one)).collect();
    axum::Json(BTreeMap::from([("providers", views)])).into_response()
}
