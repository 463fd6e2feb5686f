//! Pages that show.

use cdc_control::{Error as ControlError, v1};
use tokio::time::Instant;
use tonic::Code;

use super::live::sight;
use super::{App, IntoResponse, Path, Response, State, StatusCode, Visit, reply};
use crate::dashboard::Shared;
use crate::fleet::{ASK_TIMEOUT, QUERY_TIMEOUT, Refusal};
use crate::page::letters::{self as letter_page, Listing, PAGE, PAGES_MAX};
use crate::page::query::{self as query_page, Answer};
use crate::page::{self, empty, page_number, param};

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
    let body = page::events::body(&parts, &moment, &visit.params, shown);
    reply(&shared, &visit, &moment, "Events", &body)
}

pub(super) async fn projection(
    State(shared): App,
    Path(name): Path<String>,
    visit: Visit,
) -> Response {
    let moment = shared.fleet.moment();
    let Some(projection) = moment.projection(&name) else {
        let what = format!("No process that is asked runs a projection “{name}”.");
        let body = empty(&what, None);
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
    let params = &visit.params;
    let page = page_number(params).min(PAGES_MAX);
    let listed = listing(&shared, param(params, "projection"), page).await;
    let wanted = param(params, "show");
    let (title, body) = match listed {
        Err(refusal) => {
            ("Dead letters", page::refused("The dead letters cannot be listed", &refusal))
        }
        Ok((_, letters)) if !wanted.is_empty() => {
            match letters.iter().find(|letter| letter_page::id(letter) == wanted) {
                None => ("Dead letters", empty("This record is not parked any more.", None)),
                Some(letter) => {
                    let of_key = letters.iter().filter(|other| other.key == letter.key).count();
                    let of_key = u64::try_from(of_key).unwrap_or(u64::MAX);
                    ("Dead letter", letter_page::whole(letter, of_key, moment.at_ms))
                }
            }
        }
        Ok((total, letters)) => {
            let due = usize::try_from(total).unwrap_or(usize::MAX).min(page * PAGE);
            let is_cut = letters.len() < due;
            let letters = letters.into_iter().skip((page - 1) * PAGE).take(PAGE).collect();
            let listing = Listing { letters, total, page, is_cut };
            ("Dead letters", letter_page::list(&moment, &listing, params))
        }
    };
    reply(&shared, &visit, &moment, title, &body)
}

/// Lists the letters up to the end of a page, and how many there are in all. Where values are so
/// large that an answer would be refused, fewer are asked for.
pub(super) async fn listing(
    shared: &Shared,
    projection: &str,
    page: usize,
) -> Result<(u64, Vec<v1::DeadLetter>), Refusal> {
    let limit = u32::try_from(page * PAGE).unwrap_or(u32::MAX);
    let projection = projection.to_owned();
    let replies = shared.fleet.each(|mut client| {
        let projection = projection.clone();
        async move {
            let mut limit = limit;
            loop {
                match client.dead_letters(&projection, limit).await {
                    Err(ControlError::Refused(status))
                        if limit > 1 && status.code() == Code::OutOfRange =>
                    {
                        limit /= 4;
                        limit = limit.max(1);
                    }
                    told => return told,
                }
            }
        }
    });
    let replies = replies.await?;
    let total = replies.iter().map(|reply| reply.total).sum();
    let mut letters: Vec<v1::DeadLetter> =
        replies.into_iter().flat_map(|reply| reply.letters).collect();
    letters.sort_by_key(|letter| letter.timestamp_ms);
    Ok((total, letters))
}

pub(super) async fn schemas(State(shared): App, visit: Visit) -> Response {
    let moment = shared.fleet.moment();
    let body = match subjects(&shared, "").await {
        Ok(subjects) => page::schemas::list(&subjects, &visit.params),
        Err(refusal) => page::refused("The schemas cannot be listed", &refusal),
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
            let page = reply(&shared, &visit, &moment, "No such subject", &body);
            (StatusCode::NOT_FOUND, page).into_response()
        }
        Err(refusal) => {
            let body = page::refused("The schema cannot be shown", &refusal);
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
