//! Everything as it is deployed, and `live.mjs`, which buys, watches and breaks things.

use std::path::Path;

use penstock_stack::{Role, Stack};
use rustix::process::Signal;
use serde_json::json;

use crate::Suite;

/// Runs the suite; returns whether all is well.
pub(crate) async fn run(folder: &Path) -> bool {
    println!("starting PostgreSQL, Kafka and the services");
    let program = std::env::current_exe().unwrap();
    let stack = Box::pin(Stack::start(&program)).await.unwrap();
    let at = |role| format!("http://127.0.0.1:{}", stack.port(role));
    let sites = json!({ "shop": at(Role::Storefront), "dashboard": at(Role::Dashboard) });
    let mut suite = Suite::start(folder, "live.mjs", &sites);
    while let Some(wish) = suite.wish().await {
        grant(&stack, &wish).await;
    }
    let is_well = suite.is_well().await;
    if !is_well {
        for role in Role::ALL {
            println!("── {}\n{}", role.name(), stack.log_tail(role));
        }
    }
    stack.stop().await;
    is_well
}

/// `kill SERVICE`, `freeze SERVICE`, `thaw SERVICE`, `start SERVICE`, `sql STATEMENT`.
async fn grant(stack: &Stack, wish: &str) {
    let (verb, object) = wish.split_once(' ').unwrap();
    let role = || Role::find(object).unwrap();
    match verb {
        "kill" => stack.signal(role(), Signal::KILL),
        "freeze" => stack.signal(role(), Signal::STOP),
        "thaw" => stack.signal(role(), Signal::CONT),
        "start" => stack.start_service(role()).unwrap(),
        "sql" => stack.postgres().sql(object).await,
        _ => panic!("the suite wants {wish:?}"),
    }
}
