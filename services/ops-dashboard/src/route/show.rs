//! Pages that show.

use cdc_control::v1;
use tokio::time::Instant;

use super::live::sight;
use super::{App, IntoResponse, Path, Response, State, StatusCode, Visit, letters, reply};
use crate::dashboard::Shared;
use crate::fleet::{ASK_TIMEOUT, QUERY_TIMEOUT, Refusal};
use crate::page::letters as letter_page;
use crate::page::query::{self as query_page, Answer};
use crate::page::{self, empty, page_number, param, titled};

pub(super) async fn overview(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let parts = page::overview::parts(&moment, &sight(&shared, "", page::overview::EVENTS));
    let body = page::overview::body(&parts, &shared.fleet, &moment, &visit.params);
    reply(&shared, &visit, &moment, "Overview", &body)
}

pub(super) async fn events(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let topic = param(&visit.params, "topic");
    let parts =
        page::events::parts(&moment, &sight(&shared, topic, page::events::ROWS), &visit.params);
    let wanted = param(&visit.params, "show");
    let shown = (!wanted.is_empty()).then(|| {
        let tails = [Some(topic).filter(|topic| !topic.is_empty()), None];
        tails.into_iter().filter_map(|topic| shared.tails.of(topic)).find_map(|t| t.find(wanted))
    });
    let record = shown.as_ref().and_then(|found| Some(&found.as_ref()?.record));
    let way = match record.and_then(|record| record.commit_position.clone()) {
        Some(position) => trace(&shared, &position).await,
        None => None,
    };
    let body = page::events::body(&parts, &moment, &visit.params, shown, way.as_deref());
    reply(&shared, &visit, &moment, "Events", &body)
}

/// Returns where what was committed at a position has come to, and when; none if nobody tells.
async fn trace(shared: &Shared, position: &str) -> Option<Vec<v1::TraceRung>> {
    let replies = shared.fleet.each(|mut client| {
        let position = position.to_owned();
        async move { client.trace(&position).await }
    });
    Some(replies.await.ok()?.into_iter().flat_map(|reply| reply.rungs).collect())
}

pub(super) async fn projection(
    State(shared): App,
    Path(name): Path<String>,
    visit: Visit,
) -> Response {
    let moment = shared.fleet.moment();
    let Some(projection) = moment.projection(&name) else {
        let what = format!("No process that is asked runs a projection “{name}”.");
        let body = titled("Projections", &empty(&what, None));
        let page = reply(&shared, &visit, &moment, "No such projection", &body);
        return (StatusCode::NOT_FOUND, page).into_response();
    };
    let parts = page::projection::parts(&moment, &name, &visit.params);
    let body = page::projection::body(&parts, &shared.fleet, projection, &visit.params);
    reply(&shared, &visit, &moment, &name, &body)
}

pub(super) async fn source(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let parts = page::source::parts(&moment, &visit.params);
    let body = page::source::body(&parts, &shared.fleet, &visit.params);
    reply(&shared, &visit, &moment, "Source", &body)
}

pub(super) async fn services(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let parts = page::services::parts(&moment);
    let body = page::services::body(&parts, &moment, param(&visit.params, "stop"));
    reply(&shared, &visit, &moment, "Services", &body)
}

pub(super) async fn activity(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let entries = shared.activity.entries();
    let body = page::activity::body(&entries, &visit.params, shared.is_activity_kept);
    reply(&shared, &visit, &moment, "Activity", &body)
}

pub(super) async fn letters(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let (chosen, wanted) = (param(&visit.params, "projection"), param(&visit.params, "show"));
    if !wanted.is_empty() {
        let (title, body) = match letters::find(&shared, chosen, wanted).await {
            Err(refusal) => {
                let body = page::refused("The dead letter cannot be shown", &refusal);
                ("Dead letter", titled("Dead letter", &body))
            }
            Ok(None) => {
                let body = empty("This record is not parked any more.", None);
                ("Dead letters", titled("Dead letters", &body))
            }
            Ok(Some((letter, of_key))) => {
                ("Dead letter", letter_page::whole(&letter, of_key, moment.at_ms))
            }
        };
        return reply(&shared, &visit, &moment, title, &body);
    }
    let page = page_number(&visit.params);
    let body = match letters::page(&shared, &moment, chosen, page).await {
        Err(refusal) => {
            titled("Dead letters", &page::refused("The dead letters cannot be listed", &refusal))
        }
        Ok(listing) => letter_page::list(&moment, &listing, &visit.params),
    };
    reply(&shared, &visit, &moment, "Dead letters", &body)
}

pub(super) async fn schemas(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let body = match subjects(&shared, "").await {
        Ok(subjects) => page::schemas::list(&subjects, &visit.params),
        Err(refusal) => titled("Schemas", &page::refused("The schemas cannot be listed", &refusal)),
    };
    reply(&shared, &visit, &moment, "Schemas", &body)
}

pub(super) async fn schema(State(shared): App, Path(name): Path<String>, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    match subjects(&shared, &name)
        .await
        .map(|subjects| subjects.into_iter().find(|s| s.name == name))
    {
        Ok(Some(subject)) => {
            reply(&shared, &visit, &moment, &name, &page::schemas::whole(&subject))
        }
        Ok(None) => {
            let body = empty(&format!("There is no subject “{name}”."), None);
            let body = titled("Schemas", &body);
            let page = reply(&shared, &visit, &moment, "No such subject", &body);
            (StatusCode::NOT_FOUND, page).into_response()
        }
        Err(refusal) => {
            let body = titled(&name, &page::refused("The schema cannot be shown", &refusal));
            reply(&shared, &visit, &moment, &name, &body)
        }
    }
}

/// A registry's process may tell the versions and capture what it was refused: both are put
/// together.
async fn subjects(shared: &Shared, name: &str) -> Result<Vec<v1::Subject>, Refusal> {
    let replies = shared.fleet.each(|mut client| {
        let name = name.to_owned();
        async move { client.schemas(&name).await }
    });
    let mut found: std::collections::BTreeMap<String, v1::Subject> =
        std::collections::BTreeMap::new();
    for subject in replies.await?.into_iter().flat_map(|reply| reply.subjects) {
        match found.get_mut(&subject.name) {
            None => {
                found.insert(subject.name.clone(), subject);
            }
            Some(known) => {
                known.refused = known.refused.take().or(subject.refused);
                if known.versions.len() < subject.versions.len() {
                    known.versions = subject.versions;
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

pub(super) async fn query(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let sql = param(&visit.params, "sql");
    let answer = if sql.trim().is_empty() {
        Answer::None
    } else if visit.is_foreign {
        Answer::Held
    } else {
        let begun = Instant::now();
        let limit = query_page::limit(&visit.params);
        let asked = shared.fleet.first("duckdb", QUERY_TIMEOUT, |mut client| async move {
            client.query(sql, limit).await
        });
        match asked.await {
            Ok(rows) => Answer::Rows(rows, begun.elapsed().as_secs_f64() * 1e3),
            Err(refusal) => Answer::Refused(refusal),
        }
    };
    reply(&shared, &visit, &moment, "Query", &query_page::body(&visit.params, &answer))
}

pub(super) async fn search(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let words = param(&visit.params, "q");
    let answer = if words.trim().is_empty() || visit.is_foreign {
        None
    } else {
        let asked = shared.fleet.first("search", ASK_TIMEOUT, |mut client| async move {
            client.search(words, page::search::HITS).await
        });
        Some(asked.await)
    };
    let body = page::search::body(&visit.params, answer.as_ref());
    reply(&shared, &visit, &moment, "Search", &body)
}

pub(super) async fn nowhere(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let body = empty("There is no page at this address. The pages are in the navigation.", None);
    let page = reply(&shared, &visit, &moment, "No such page", &body);
    (StatusCode::NOT_FOUND, page).into_response()
}
