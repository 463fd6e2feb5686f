//! Stopping in order: the first signal asks, the second insists.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports of a program ended by SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Returns a token that the first SIGINT or SIGTERM cancels; the second ends the process at once
/// with code 130. Needs a runtime; if signals cannot be watched, the system's own handling stays.
pub fn shutdown_on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let signals =
        signal(SignalKind::interrupt()).and_then(|i| Ok((i, signal(SignalKind::terminate())?)));
    match signals {
        Ok((interrupt, terminate)) => watch(interrupt, terminate, token.clone()),
        Err(error) => tracing::warn!(error = %error, "signals are not watched"),
    }
    token
}

#[expect(clippy::disallowed_methods, reason = "it lives as long as the process")]
fn watch(mut interrupt: Signal, mut terminate: Signal, token: CancellationToken) {
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        tracing::info!("stopping; a second signal stops at once");
        token.cancel();
        next(&mut interrupt, &mut terminate).await;
        std::process::exit(EXIT_INTERRUPTED);
    });
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
