//! Faults of the services as they are deployed: processes around Kafka, under load, with a witness
//! who reads the operator's page meanwhile. The page must say what is the matter within seconds, and
//! that all is well again afterwards.

use std::time::Duration;

use anyhow::ensure;
use cdc_control::Client;
use penstock_stack::Role;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use tokio::time::Instant;

use super::{PATIENCE, Run};
use crate::fleet::Fleet;
use crate::load::{Intensity, Load};
use crate::report::grouped;
use crate::witness::Screen;

/// How often each service is killed.
const KILLS: u32 = 20;

/// How often all are restarted in order.
const ROLLS: u32 = 20;

/// Longer than `wal_sender_timeout`, the transaction's and every other timeout of a session.
const FROZEN: Duration = Duration::from_secs(75);

const AWAY: Duration = Duration::from_secs(30);

/// How often an instance is asked whether it leads.
const LOOK: Duration = Duration::from_millis(200);

/// How soon the page must tell.
const TELL_LIMIT: Duration = Duration::from_secs(10);

/// How soon the page must be well again once a fault is over.
const HEAL_LIMIT: Duration = Duration::from_secs(120);

/// How long a process lives before it is killed again, in milliseconds.
const LIVES_MS: std::ops::Range<u64> = 300..4_000;

pub(super) async fn kill(run: &Run<'_>) -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let load = begin(run, &fleet).await?;
    let mut dice = SmallRng::seed_from_u64(run.seed);
    let rounds = run.rounds(KILLS);
    for (what, at_once) in [("each alone", 1), ("two at once", 2), ("all at once", Role::ALL.len())]
    {
        for _ in 0..rounds {
            // Alone, each is killed as often as any other, in an order of chance.
            let mut roles = Role::ALL;
            roles.shuffle(&mut dice);
            let victims = if at_once == 1 { &roles[..] } else { &roles[..at_once] };
            for together in victims.chunks(at_once) {
                kill_at_once(&fleet, together).await?;
                tokio::time::sleep(Duration::from_millis(dice.random_range(LIVES_MS))).await;
            }
        }
        for role in Role::ALL {
            fleet.stack.until_ready(role).await;
        }
        let took = fleet.until_level().await?;
        let rows = grouped(load.rows());
        run.say(&format!("{what}: {rounds} times; level again after {took:.1?}, {rows} rows"));
        well(run, &fleet).await?;
    }
    finish(run, &fleet, load).await
}

async fn kill_at_once(fleet: &Fleet, roles: &[Role]) -> anyhow::Result<()> {
    for role in roles {
        fleet.stack.signal(*role, Signal::KILL);
    }
    for role in roles {
        fleet.stack.kill(*role).await?;
    }
    Ok(())
}

pub(super) async fn freeze(run: &Run<'_>) -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let load = begin(run, &fleet).await?;

    let (second, address) = fleet.stack.start_second(Role::Capture)?;
    let mut control = Client::of_address(&address, None)?;
    until_stands(&mut control, true).await?;
    fleet.stack.signal(Role::Capture, Signal::STOP);
    let (screen, told) = until_told(&fleet, "capture").await?;
    run.say(&format!("capture frozen; the page after {told:.1?}: {}", shown(&screen)));
    until_stands(&mut control, false).await?;
    run.say("the second leads");
    tokio::time::sleep(FROZEN).await;
    let took = fleet.until_level().await?;
    fleet.stack.signal(Role::Capture, Signal::CONT);
    let mut first = fleet.stack.control(Role::Capture);
    // Mostly the first; the second if its session broke meanwhile.
    let who = tokio::select! {
        told = until_stands(&mut first, true) => told.map(|()| "first"),
        told = until_stands(&mut control, true) => told.map(|()| "second"),
    }?;
    let again = fleet.until_level().await?;
    run.say(&format!(
        "level in {took:.1?} while frozen, in {again:.1?} after the thaw; the {who} stands by"
    ));
    second.stop(Signal::TERM, PATIENCE).await;
    ensure!(second.exit_status().is_some_and(|status| status.success()), "{}", second.log_tail());
    until_stands(&mut fleet.stack.control(Role::Capture), false).await?;
    fleet.until_level().await?;
    well(run, &fleet).await?;

    // A store on a disk is held by whoever holds its lock, frozen or not: the second stands by.
    let (second, address) = fleet.stack.start_second(Role::Projector)?;
    let mut control = Client::of_address(&address, None)?;
    until_stands(&mut control, true).await?;
    fleet.stack.signal(Role::Projector, Signal::STOP);
    let (screen, told) = until_told(&fleet, "projector").await?;
    run.say(&format!("projector frozen; the page after {told:.1?}: {}", shown(&screen)));
    tokio::time::sleep(FROZEN).await;
    fleet.stack.signal(Role::Projector, Signal::CONT);
    let took = fleet.until_level().await?;
    run.say(&format!("projector thawed: level after {took:.1?}"));
    until_stands(&mut control, true).await?;
    fleet.stack.signal(Role::Projector, Signal::STOP);
    fleet.stack.signal(Role::Projector, Signal::KILL);
    until_stands(&mut control, false).await?;
    second.stop(Signal::TERM, PATIENCE).await;
    ensure!(second.exit_status().is_some_and(|status| status.success()), "{}", second.log_tail());
    fleet.stack.kill(Role::Projector).await?;
    let took = fleet.until_level().await?;
    run.say(&format!("projector killed while frozen, taken over, handed back: {took:.1?}"));
    well(run, &fleet).await?;
    finish(run, &fleet, load).await
}

pub(super) async fn away(run: &Run<'_>) -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let load = begin(run, &fleet).await?;

    fleet.stack.kafka().stop().await;
    let (screen, told) = until_told(&fleet, "capture").await?;
    run.say(&format!("kafka stopped; the page after {told:.1?}: {}", shown(&screen)));
    tokio::time::sleep(AWAY).await;
    fleet.stack.kafka().start_again().await;
    back(run, &fleet, "kafka").await?;

    fleet.stack.postgres().stop_immediate().await;
    let (screen, told) = until_told(&fleet, "capture").await?;
    run.say(&format!("postgres stopped; the page after {told:.1?}: {}", shown(&screen)));
    tokio::time::sleep(AWAY).await;
    fleet.stack.postgres().start_again().await;
    back(run, &fleet, "postgres").await?;

    // Schemas that are known are cached: data flows on.
    let is_clean = fleet.stack.stop_service(Role::Registry).await;
    ensure!(is_clean, "the registry did not end with 0");
    let (screen, told) = until_told(&fleet, "registry").await?;
    run.say(&format!("registry stopped; the page after {told:.1?}: {}", shown(&screen)));
    let took = fleet.until_level().await?;
    run.say(&format!("data flows on without it: level in {took:.1?}"));
    tokio::time::sleep(AWAY).await;
    fleet.stack.start_service(Role::Registry)?;
    fleet.stack.until_ready(Role::Registry).await;
    back(run, &fleet, "registry").await?;
    finish(run, &fleet, load).await
}

pub(super) async fn rolling(run: &Run<'_>) -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let load = begin(run, &fleet).await?;
    let rounds = run.rounds(ROLLS);
    for round in 1..=rounds {
        for role in Role::ALL {
            let is_clean = fleet.stack.stop_service(role).await;
            ensure!(is_clean, "round {round}: {} did not end with 0", role.name());
            fleet.stack.start_service(role)?;
            fleet.stack.until_ready(role).await;
        }
        if round % 5 == 0 {
            let rows = grouped(load.rows());
            run.say(&format!("round {round}/{rounds}: every exit was 0, {rows} rows committed"));
        }
    }
    fleet.until_level().await?;
    well(run, &fleet).await?;
    ensure!(fleet.witness.red().is_none(), "red on the page: {:?}", fleet.witness.red());
    run.say("nothing was red on the page");
    finish(run, &fleet, load).await
}

/// Starts the writers, and waits until the page says that data flows.
async fn begin(run: &Run<'_>, fleet: &Fleet) -> anyhow::Result<Load> {
    let intensity = Intensity { rate: run.options.rate / 2.0, ..run.options.intensity() };
    let load = Load::start(&fleet.dsn(), run.seed, intensity);
    well(run, fleet).await?;
    Ok(load)
}

/// Waits until the page tells of trouble with a part.
async fn until_told(fleet: &Fleet, part: &str) -> anyhow::Result<(Screen, Duration)> {
    let is_told = |screen: &Screen| {
        let named = screen.troubles.iter().any(|what| what.to_lowercase().contains(part));
        named && !screen.is_well()
    };
    fleet.witness.until(&format!("trouble with {part}"), TELL_LIMIT, is_told).await
}

/// Waits until a server that came back is used again, and the page is well.
async fn back(run: &Run<'_>, fleet: &Fleet, server: &str) -> anyhow::Result<()> {
    let took = fleet.until_level().await?;
    run.say(&format!("{server} back: level after {took:.1?}"));
    well(run, fleet).await
}

async fn well(run: &Run<'_>, fleet: &Fleet) -> anyhow::Result<()> {
    let (screen, took) = fleet.witness.until("all is well", HEAL_LIMIT, Screen::is_well).await?;
    run.say(&format!("the page, {took:.1?} later: {}", shown(&screen)));
    Ok(())
}

fn shown(screen: &Screen) -> String {
    let troubles = screen.troubles.join("; ");
    let claims = screen.claims.join(" | ");
    if troubles.is_empty() { claims } else { format!("{claims}: {troubles}") }
}

async fn finish(run: &Run<'_>, fleet: &Fleet, load: Load) -> anyhow::Result<()> {
    let rows = load.rows();
    let committed = load.stop().await?;
    run.say(&format!("{} row changes were committed; now to rest", grouped(rows)));
    let agreed = fleet.audit(&committed).await?;
    run.say(&agreed.to_string());
    run.compare_with_stock_client(&fleet.stack.kafka().bootstrap(), &agreed).await
}

/// Waits until an instance says that it stands by, or that it leads.
async fn until_stands(control: &mut Client, by: bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = control.status().await;
        let services = told.as_ref().map(|status| &status.services[..]).unwrap_or_default();
        if services.iter().any(|one| one.is_standby == by) {
            return Ok(());
        }
        let wanted = if by { "stands by" } else { "leads" };
        ensure!(Instant::now() < deadline, "no instance says that it {wanted}, but {told:?}");
        tokio::time::sleep(LOOK).await;
    }
}
