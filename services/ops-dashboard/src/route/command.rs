//! Commands: each is written to the activity log before it is given, and what came of it after.

use std::future::Future;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Form, FromRequestParts};
use axum::response::Redirect;
use cdc_control::{Settlement, v1};
use maud::html;

use super::letters;
use super::{
    App, HeaderMap, Html, IntoResponse, Path, RequestParts, Response, Shared, State, StatusCode,
    Visit, header,
};
use crate::activity::Entry;
use crate::fleet::{ASK_TIMEOUT, Refusal};
use crate::format;
use crate::guard::{self, Guard};
use crate::page::{self, Params, param};

/// Where a command came from.
pub(super) struct From(String);

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut RequestParts,
        _state: &S,
    ) -> Result<Self, std::convert::Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map_or_else(|| "unknown".to_owned(), |peer| peer.0.ip().to_string())))
    }
}

/// A command that is about to be given.
struct Command<'a> {
    action: &'a str,
    target: &'a str,
    records: Option<u64>,
    back: &'a str,
}

/// Writes a command down, gives it, writes down what came of it, and goes back to where it came
/// from.
async fn carry_out(
    shared: &Shared,
    from: From,
    command: Command<'_>,
    given: impl Future<Output = Result<String, Refusal>>,
) -> Response {
    let entry = Entry {
        at_ms: shared.fleet.now_ms(),
        who: from.0,
        action: command.action.to_owned(),
        target: command.target.to_owned(),
        records: command.records,
        ..Entry::default()
    };
    let id = match shared.activity.begin(entry) {
        Ok(id) => id,
        Err(error) => {
            tracing::error!(error = %error, "a command was not given: it cannot be written down");
            let remedy = format!(
                "It cannot be written to the activity log: {error}. Make space, or look at the permissions of --activity-dir."
            );
            return guard::refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "The command was not given",
                &remedy,
            );
        }
    };
    let (outcome, is_refused) = match given.await {
        Ok(outcome) => (outcome, false),
        Err(refusal) => {
            (format!("refused: {} {}", refusal.reason, refusal.remedy).trim().to_owned(), true)
        }
    };
    tracing::info!(action = command.action, target = command.target, is_refused, "command");
    shared.activity.end(id, shared.fleet.now_ms(), outcome, is_refused);
    shared.metrics.commanded(command.action, is_refused);
    let back = local(command.back);
    let mark = if back.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{back}{mark}done={id}")).into_response()
}

/// Returns an address if it is one of this site's, else the first page's.
fn local(address: &str) -> &str {
    let is_local = address.starts_with('/')
        && !address.starts_with("//")
        && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_local { address } else { "/" }
}

/// Says that what was typed does not confirm.
fn unconfirmed(expected: &str) -> Response {
    let remedy = format!("Type {expected} to confirm. Nothing was done.");
    guard::refusal(StatusCode::UNPROCESSABLE_ENTITY, "The name that was typed is another", &remedy)
}

pub(super) async fn give(
    State(shared): App,
    Path(action): Path<String>,
    from: From,
    Form(form): Form<Params>,
) -> Response {
    let target = param(&form, "target");
    let back = param(&form, "back");
    let command = Command { action: &action, target, records: None, back };
    let owned = || target.to_owned();
    match action.as_str() {
        "pause" => {
            let given = shared.fleet.first(target, ASK_TIMEOUT, |mut client| {
                let target = owned();
                async move { client.pause(&target).await.map(|()| "paused".to_owned()) }
            });
            carry_out(&shared, from, command, given).await
        }
        "resume" => {
            let given = shared.fleet.first(target, ASK_TIMEOUT, |mut client| {
                let target = owned();
                async move { client.resume(&target).await.map(|()| "resumed".to_owned()) }
            });
            carry_out(&shared, from, command, given).await
        }
        "stop" => stop(&shared, from, &form).await,
        _ => guard::refusal(
            StatusCode::NOT_FOUND,
            "There is no such command",
            "Go back to the page.",
        ),
    }
}

async fn stop(shared: &Shared, from: From, form: &Params) -> Response {
    let endpoint = param(form, "endpoint");
    if param(form, "confirm") != endpoint {
        return unconfirmed(endpoint);
    }
    let client = shared.fleet.clients("").into_iter().find(|(known, _)| known == endpoint);
    let given = async {
        let absent = || Refusal {
            reason: format!("{endpoint} is not asked by this dashboard"),
            remedy: String::new(),
        };
        let (_, mut client) = client.ok_or_else(absent)?;
        let stopped = tokio::time::timeout(ASK_TIMEOUT, client.stop()).await;
        let failed = |reason: String| Refusal { reason, remedy: String::new() };
        stopped
            .map_err(|_| failed("it did not answer in time".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        Ok("it drains and ends".to_owned())
    };
    let command =
        Command { action: "stop", target: endpoint, records: None, back: param(form, "back") };
    carry_out(shared, from, command, given).await
}

pub(super) async fn settle(
    State(shared): App,
    Path(action): Path<String>,
    from: From,
    Form(form): Form<Params>,
) -> Response {
    let settlement = match action.as_str() {
        "replay" => Settlement::Replay,
        "discard" => Settlement::Discard,
        _ => {
            return guard::refusal(
                StatusCode::NOT_FOUND,
                "There is no such command",
                "Go back to the page.",
            );
        }
    };
    let projection = param(&form, "projection");
    if projection.is_empty() {
        return guard::refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            "No projection is named",
            "Go back to the page.",
        );
    }
    if settlement == Settlement::Discard && param(&form, "confirm") != projection {
        return unconfirmed(projection);
    }
    let letter = param(&form, "letter");
    let expected = param(&form, "expected").parse::<u64>().ok();
    let letters = match letter_id(letter) {
        Some(letter) => vec![letter],
        None if letter.is_empty() && expected.is_some() => Vec::new(),
        None => {
            return guard::refusal(
                StatusCode::UNPROCESSABLE_ENTITY,
                "It does not say which records",
                "Go back to the page.",
            );
        }
    };
    let target = if letter.is_empty() {
        projection.to_owned()
    } else {
        format!("{projection}, the key of {letter}")
    };
    let back = param(&form, "back");
    let command = Command { action: &action, target: &target, records: expected, back };
    let given = async {
        if let Some(expected) = expected {
            unchanged(&shared, projection, expected).await?;
        }
        let request = v1::SettleRequest { projection: projection.to_owned(), letters };
        let asked = shared.fleet.first(projection, ASK_TIMEOUT * 6, |mut client| {
            let request = request.clone();
            async move { client.settle(request, settlement).await }
        });
        let reply = asked.await?;
        Ok(told(&reply, settlement))
    };
    carry_out(&shared, from, command, given).await
}

fn told(reply: &v1::SettleReply, settlement: Settlement) -> String {
    let verb = if settlement == Settlement::Replay { "replayed" } else { "discarded" };
    let settled = format!("{} {verb}", format::plural(reply.settled, "record"));
    match reply.refused.first() {
        None => settled,
        Some(first) => {
            let still = u64::try_from(reply.refused.len()).unwrap_or(u64::MAX);
            format!(
                "{settled}, {} still cannot be applied: {}",
                format::plural(still, "record"),
                first.reason
            )
        }
    }
}

/// Refuses if there are not as many records parked as the person saw.
async fn unchanged(shared: &Shared, projection: &str, expected: u64) -> Result<(), Refusal> {
    let total = letters::count(shared, projection).await?;
    if total == expected {
        return Ok(());
    }
    Err(Refusal {
        reason: format!(
            "{} are parked now, {} were shown.",
            format::plural(total, "record"),
            format::group(expected)
        ),
        remedy: "Look at them, and press again.".to_owned(),
    })
}

/// Reads `topic:partition:offset`.
pub(super) fn letter_id(text: &str) -> Option<v1::LetterId> {
    let mut parts = text.rsplitn(3, ':');
    let offset = parts.next()?.parse().ok()?;
    let partition = parts.next()?.parse().ok()?;
    Some(v1::LetterId { topic: parts.next()?.to_owned(), partition, offset })
}

pub(super) async fn accept(State(shared): App, from: From, Form(form): Form<Params>) -> Response {
    let subject = param(&form, "subject");
    if subject.is_empty() || param(&form, "confirm") != subject {
        return unconfirmed(subject);
    }
    let given = async {
        let asked = shared.fleet.first(page_capture(), ASK_TIMEOUT, |mut client| {
            let subject = subject.to_owned();
            async move { client.accept_schema(&subject).await }
        });
        let reply = asked.await?;
        Ok(format!("version {} with id {} is in effect", reply.version, reply.id))
    };
    let command = Command {
        action: "accept schema",
        target: subject,
        records: None,
        back: param(&form, "back"),
    };
    carry_out(&shared, from, command, given).await
}

fn page_capture() -> &'static str {
    crate::moment::CAPTURE
}

/// How long a choice is kept, in seconds.
const CHOICE_AGE: u32 = 365 * 86_400;

pub(super) async fn prefer(Form(form): Form<Params>) -> Response {
    let mut response = Redirect::to(local(param(&form, "back"))).into_response();
    for (name, known) in
        [("theme", ["system", "dark", "light"]), ("zone", ["utc", "local", "local"])]
    {
        let value = param(&form, name);
        if known.contains(&value) {
            let cookie = format!("{name}={value}; Path=/; SameSite=Strict; Max-Age={CHOICE_AGE}");
            if let Ok(cookie) = cookie.parse() {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
        }
    }
    response
}

pub(super) async fn login_page(State(shared): App, visit: Visit) -> Response {
    if !shared.guard.is_guarded() {
        return Redirect::to("/").into_response();
    }
    sign_in_form(StatusCode::OK, param(&visit.params, "back"), None)
}

fn sign_in_form(status: StatusCode, back: &str, problem: Option<&str>) -> Response {
    let body = html! {
        h1 { "Sign in" }
        form.confirm method="post" action="/login" {
            input type="hidden" name="back" value=(back);
            label { "Token" input name="token" type="password" required autofocus autocomplete="current-password"; }
            button.primary { "Sign in" }
        }
        @if let Some(problem) = problem { p.notice.refused role="alert" { (problem) } }
        p.u { "The token is in the file that the dashboard was started with (--token-file)." }
    };
    (status, Html(page::bare("Sign in", &body).into_string())).into_response()
}

pub(super) async fn login(
    State(shared): App,
    from: From,
    headers: HeaderMap,
    Form(form): Form<Params>,
) -> Response {
    let back = param(&form, "back");
    if !shared.guard.may_attempt() {
        let problem = "Too many attempts. Wait a minute.";
        return sign_in_form(StatusCode::TOO_MANY_REQUESTS, back, Some(problem));
    }
    let is_secure = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let now_ms = shared.fleet.now_ms();
    let Some(cookie) = shared.guard.sign_in(param(&form, "token").trim(), now_ms, is_secure) else {
        tracing::warn!(from = from.0, "a wrong token was given");
        return sign_in_form(StatusCode::FORBIDDEN, back, Some("This is not the token."));
    };
    ([(header::SET_COOKIE, cookie)], Redirect::to(local(back))).into_response()
}

pub(super) async fn logout() -> Response {
    ([(header::SET_COOKIE, Guard::sign_out())], Redirect::to("/login")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_back_to_this_site_only() {
        for (given, expected) in [
            ("/source?a=b", "/source?a=b"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nb", "/"),
            ("", "/"),
        ] {
            assert_eq!(local(given), expected);
        }
    }

    #[test]
    fn a_letter_is_named_by_topic_partition_and_offset() {
        let expected = v1::LetterId { topic: "a:b.c".to_owned(), partition: 2, offset: 7 };
        assert_eq!(letter_id("a:b.c:2:7"), Some(expected));
        assert_eq!(letter_id("a:7"), None);
    }
}
