//! Kills, restarts, takeovers, pauses and stops.

use cdc_control::v1;
use penstock_stack::{Role, Stack};
use rustix::process::Signal;
use testkit::server::until;

use crate::world::{PATIENCE, PROJECTIONS, settle, stack, write, write_and_settle};

#[tokio::test(flavor = "multi_thread")]
async fn services_are_killed_restarted_and_stopped_without_loss() {
    let stack = stack().await;
    write_and_settle(&stack, 1_000, 100).await;

    // One picture of several processes.
    let status = stack.status().await;
    let names: Vec<_> = status.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["capture", "projector", "schema-registry-client"]);
    let projections: Vec<_> = status.projections.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(projections, PROJECTIONS);

    until_latency_is_told(&stack, 1_500).await;

    // Each rung of the ladder is told for what was committed by now.
    let position = stack.postgres().value("SELECT pg_current_wal_insert_lsn()").await;
    write_and_settle(&stack, 1_100, 1).await;
    let capture = stack.control(Role::Capture).trace(&position).await.unwrap();
    assert_eq!(capture.rungs[0].name, "appended");
    until("every projection has it", PATIENCE, async || {
        let projector = stack.control(Role::Projector).trace(&position).await.unwrap();
        projector.rungs.len() == PROJECTIONS.len()
    })
    .await;

    // Text is found.
    until("a name is found", PATIENCE, async || {
        let found = stack.control(Role::Projector).search("\"customer 1042\"", 10).await.unwrap();
        found.hits.iter().any(|hit| hit.table == "public.customers")
    })
    .await;

    // Killed one by one, two at once, all at once, while rows come in.
    let mut from = 2_000;
    let kills: [&[Role]; 6] = [
        &[Role::Capture],
        &[Role::Projector],
        &[Role::Registry],
        &[Role::Capture, Role::Projector],
        &[Role::Registry, Role::Projector],
        &[Role::Registry, Role::Capture, Role::Projector],
    ];
    for roles in kills {
        write(&stack, from, 200).await;
        for role in roles {
            stack.kill(*role).await.unwrap();
        }
        write(&stack, from + 200, 200).await;
        for role in roles {
            stack.until_ready(*role).await;
        }
        settle(&stack).await;
        from += 400;
    }

    // Held and let go.
    let mut projector = stack.control(Role::Projector);
    projector.pause("duckdb").await.unwrap();
    until("the warehouse is paused", PATIENCE, async || {
        let status = stack.status().await;
        let paused = status.projections.iter().find(|p| p.name == "duckdb").unwrap();
        paused.state() == v1::State::Paused
    })
    .await;
    write(&stack, 9_000, 10).await;
    until("the others go on", PATIENCE, async || {
        let found = stack.control(Role::Projector).search("\"customer 9005\"", 10).await;
        found.is_ok_and(|found| !found.hits.is_empty())
    })
    .await;
    let count = "SELECT count(*) FROM public_customers WHERE name = 'customer 9005'";
    let held = projector.query(count, 1).await.unwrap();
    assert_eq!(held.rows[0].cells[0].text.as_deref(), Some("0"));
    projector.resume("duckdb").await.unwrap();
    settle(&stack).await;

    // Stopped in order, each ends with 0.
    for role in Role::ALL.into_iter().rev() {
        assert!(stack.stop_service(role).await, "{}:\n{}", role.name(), stack.log_tail(role));
    }
}

/// Latency is told of what was streamed; the first rows may have come with the snapshot.
async fn until_latency_is_told(stack: &Stack, mut id: i64) {
    until("capture tells its latency", PATIENCE, async || {
        write(stack, id, 1).await;
        id += 1;
        stack.status().await.capture.is_some_and(|capture| capture.latency_p99_ms.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_waits_and_takes_over() {
    let stack = stack().await;
    write_and_settle(&stack, 1_000, 50).await;
    for (role, from) in [(Role::Capture, 2_000), (Role::Projector, 3_000)] {
        // GIVEN a second instance, which says that it stands by
        let (second, address) = stack.start_second(role).unwrap();
        let mut control = cdc_control::Client::of_address(&address, None).unwrap();
        until("the second stands by", PATIENCE, async || {
            control.status().await.is_ok_and(|status| status.services[0].is_standby)
        })
        .await;
        // WHEN the first is frozen and killed
        stack.signal(role, Signal::STOP);
        write(&stack, from, 50).await;
        stack.signal(role, Signal::KILL);
        // THEN the second goes on, and nothing is lost or doubled
        until("the second leads", PATIENCE, async || {
            control.status().await.is_ok_and(|status| !status.services[0].is_standby)
        })
        .await;
        second.stop(Signal::TERM, PATIENCE).await;
        stack.start_service(role).unwrap();
        settle(&stack).await;
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_why_a_service_ends_as_soon_as_it_starts() {
    let stack = stack().await;
    write_and_settle(&stack, 1_000, 50).await;
    for (role, code) in
        [(Role::Capture, "PUBLICATION_MISSING"), (Role::Projector, "WAREHOUSE_CORRUPT")]
    {
        // GIVEN a service that is away for longer than the page waits before it asks again
        assert!(stack.stop_service(role).await);
        let silent = format!("{} does not answer", role.name());
        until("the page says that it is away", PATIENCE, async || tells(&stack, &silent).await)
            .await;
        match role {
            Role::Capture => stack.postgres().sql("DROP PUBLICATION penstock_shop").await,
            _ => {
                let file = stack.data_dir(role).join("warehouse.duckdb");
                std::fs::write(file, "no database at all").unwrap();
            }
        }
        // WHEN it starts and halts at once
        stack.start_service(role).unwrap();
        // THEN the page tells why, and goes on telling it once the process has ended
        until("the page tells why", PATIENCE, async || tells(&stack, code).await).await;
        until("it has ended", PATIENCE, async || !stack.is_alive(role)).await;
        until("the page says that it is away", PATIENCE, async || tells(&stack, &silent).await)
            .await;
        assert!(tells(&stack, code).await);
    }
    stack.stop().await;
}

/// Whether the first page holds a text.
async fn tells(stack: &Stack, text: &str) -> bool {
    stack.page(Role::Dashboard, "/").await.is_ok_and(|page| page.contains(text))
}
