//! Asks for parked records: a page of them, one of them, how many there are.

use cdc_control::{Client, Error as ControlError, v1};
use tonic::Code;

use super::command::letter_id;
use crate::dashboard::Shared;
use crate::fleet::Refusal;
use crate::moment::Moment;
use crate::page::letters::{Listing, PAGE};

/// Returns a page, from 1, of the parked records of a projection, or of one projection after the
/// other. A page beyond the last is the last.
pub(super) async fn page(
    shared: &Shared,
    moment: &Moment,
    projection: &str,
    page: usize,
) -> Result<Listing, Refusal> {
    let told = moment.status.projections.iter().map(|projection| projection.name.as_str());
    let mut names: Vec<&str> = told.filter(|_| projection.is_empty()).collect();
    if names.is_empty() {
        names.push(projection);
    }
    let mut totals = Vec::new();
    for name in names {
        totals.push((name, count(shared, name).await?));
    }
    let total: u64 = totals.iter().map(|(_, total)| total).sum();
    let page = page.min(pages(total));
    let mut skip = u64::try_from((page - 1) * PAGE).unwrap_or(u64::MAX);
    let mut listing = Listing { letters: Vec::new(), total, page, is_cut: false };
    for (name, total) in totals {
        let wanted = PAGE - listing.letters.len();
        if skip >= total || wanted == 0 {
            skip = skip.saturating_sub(total);
            continue;
        }
        let request = request(name, wanted, skip);
        let letters = ask(shared, request).await?.letters;
        let due = usize::try_from(total - skip).unwrap_or(usize::MAX).min(wanted);
        listing.is_cut = letters.len() < due;
        listing.letters.extend(letters);
        if listing.is_cut {
            break;
        }
        skip = 0;
    }
    Ok(listing)
}

/// Returns how many pages so many records fill; one if there are none.
fn pages(total: u64) -> usize {
    usize::try_from(total).unwrap_or(usize::MAX).div_ceil(PAGE).max(1)
}

/// Returns how many records of a projection are parked.
pub(super) async fn count(shared: &Shared, projection: &str) -> Result<u64, Refusal> {
    Ok(ask(shared, request(projection, 1, 0)).await?.total)
}

/// Returns the record of an id, and how many of its key are parked; none if it is not parked.
pub(super) async fn find(
    shared: &Shared,
    projection: &str,
    id: &str,
) -> Result<Option<(v1::DeadLetter, u64)>, Refusal> {
    let Some(only) = letter_id(id) else { return Ok(None) };
    let only = Some(only);
    let reply =
        ask(shared, v1::ListDeadLettersRequest { only, ..request(projection, 1, 0) }).await?;
    Ok(reply.letters.into_iter().next().map(|letter| (letter, reply.total)))
}

fn request(projection: &str, limit: usize, skip: u64) -> v1::ListDeadLettersRequest {
    v1::ListDeadLettersRequest {
        projection: projection.to_owned(),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        skip: u32::try_from(skip).unwrap_or(u32::MAX),
        only: None,
    }
}

async fn ask(
    shared: &Shared,
    request: v1::ListDeadLettersRequest,
) -> Result<v1::ListDeadLettersReply, Refusal> {
    let replies = shared.fleet.each(|client| fitting(client, request.clone())).await?;
    let mut all = v1::ListDeadLettersReply::default();
    for reply in replies {
        all.total += reply.total;
        all.letters.extend(reply.letters);
    }
    Ok(all)
}

/// Asks for fewer where values are so large that an answer would be refused.
async fn fitting(
    mut client: Client,
    mut request: v1::ListDeadLettersRequest,
) -> cdc_control::Result<v1::ListDeadLettersReply> {
    loop {
        match client.list_dead_letters(request.clone()).await {
            Err(ControlError::Refused(status))
                if request.limit > 1 && status.code() == Code::OutOfRange =>
            {
                request.limit = (request.limit / 4).max(1);
            }
            told => return told,
        }
    }
}
