//! `scripts/stack`: everything as its users deploy it, on one machine.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Role, ServiceState, Stack, State, StateFile};

/// PostgreSQL, Kafka, the four services and the shop, each a process of its own.
#[derive(Debug, Parser)]
#[command(name = "stack", max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything and keep it running until Ctrl-C or `down`
    Up,
    /// Stop what `up` runs
    Down,
    /// Show the end of each service's log, or of one
    Logs {
        /// A service
        service: Option<String>,
    },
    /// Kill a service (-9); `up` starts it again
    Kill {
        /// The service
        service: String,
    },
}

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    if let Some(role) = Role::of_process() {
        return role.run();
    }
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let file = StateFile::of_user();
    match command {
        Command::Up => tokio::runtime::Runtime::new()?.block_on(up(&file)),
        Command::Down => send(file.read()?.pid, Signal::TERM),
        Command::Logs { service } => {
            let state = file.read()?;
            let wanted = |one: &&ServiceState| service.as_ref().is_none_or(|n| *n == one.name);
            for one in state.services.iter().filter(wanted) {
                let text = std::fs::read_to_string(&one.log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                println!("── {}", one.name);
                for line in &lines[lines.len().saturating_sub(20)..] {
                    println!("{line}");
                }
            }
            Ok(())
        }
        Command::Kill { service } => {
            let state = file.read()?;
            let found = state.services.iter().find(|one| one.name == service);
            let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
            let Some(found) = found else {
                bail!("there is no service \"{service}\"; there are {}", names.join(", "))
            };
            send(found.pid.context("it does not run right now")?, Signal::KILL)
        }
    }
}

fn send(pid: i32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(pid).context("no process")?;
    kill_process(pid, signal).context("the process is gone")
}

async fn up(file: &StateFile) -> anyhow::Result<()> {
    if let Ok(state) = file.read() {
        let lives = Pid::from_raw(state.pid)
            .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
        if lives {
            bail!("a stack is up already; stop it with down");
        }
    }
    let shutdown = service_kit::shutdown_on_signal();
    eprintln!("Starting PostgreSQL, Kafka, the services and the shop");
    let program = std::env::current_exe()?;
    let starting = Box::pin(Stack::start(&program));
    let Some(stack) = shutdown.run_until_cancelled(starting).await else { return Ok(()) };
    let stack = stack?;
    tell(&stack);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        for role in Role::ALL {
            if !stack.is_alive(role) {
                // The new one's log takes the place of this one's.
                let tail = stack.log_tail(role);
                let last = tail.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
                eprintln!("{} ended; starting it again. It said last:\n  {last}", role.name());
                stack.start_service(role)?;
            }
        }
        file.write(&state(&stack))?;
    }
    eprintln!("Stopping");
    stack.stop().await;
    file.remove();
    Ok(())
}

fn tell(stack: &Stack) {
    let at = |role| format!("http://127.0.0.1:{}", stack.port(role));
    println!("shop        {}", at(Role::Storefront));
    println!("dashboard   {}", at(Role::Dashboard));
    println!("registry    {}", at(Role::Registry));
    println!("capture     {}/metrics", at(Role::Capture));
    println!("projector   {}/metrics", at(Role::Projector));
    println!("postgres    {}", stack.postgres().dsn("postgres"));
    println!("kafka       {}", stack.kafka().bootstrap());
    println!("Ctrl-C, or scripts/stack down, stops everything.");
}

fn state(stack: &Stack) -> State {
    let service = |role: Role| ServiceState {
        name: role.name().to_owned(),
        pid: stack.pid(role),
        log: stack.log_path(role),
        url: format!("http://127.0.0.1:{}", stack.port(role)),
    };
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    State { pid, services: Role::ALL.into_iter().map(service).collect() }
}
