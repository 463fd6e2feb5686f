//! A service's process: its line in the status, its control endpoints, its admin endpoints.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cdc_control::{Control, v1};
use cdc_pipeline::Clock;
use service_kit::admin::{Admin, AdminError, AdminState};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::report::Problem;
use crate::settings::ControlConfig;

/// How often a socket that another instance serves is tried again.
const SOCKET_RETRY: Duration = Duration::from_secs(1);

/// How long a process that cannot go on still answers, for whoever asks why: twice as long as the
/// dashboard waits at most before it asks again.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Code of a process that could not open what it needs.
const CANNOT_START: &str = "CANNOT_START";

/// Who a process is.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    instance: String,
    address: String,
    started: Instant,
    clock: Clock,
    failure: OnceLock<v1::Halt>,
}

impl Process {
    /// Makes the identity of this process, which runs the service `name` and is asked at `address`.
    pub fn new(name: &'static str, address: impl Into<String>) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let instance = format!("{host}/{}", std::process::id());
        let (started, clock) = (Instant::now(), Clock::system());
        let failure = OnceLock::new();
        Self { name, instance, address: address.into(), started, clock, failure }
    }

    /// Returns whether this process cannot go on.
    pub fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Returns how what this process runs is doing as long as it could not be opened.
    pub fn before_opening(&self, waits_for: String) -> (v1::State, String, Option<v1::Halt>) {
        match self.failure.get() {
            Some(halt) => (v1::State::Halted, String::new(), Some(halt.clone())),
            None => (v1::State::Waiting, waits_for, None),
        }
    }

    /// Returns why the part `name` of this process, which could not be opened yet, does not work.
    pub fn obstacle_before_opening(&self, name: &str, waits_for: &str) -> String {
        match self.failure.get() {
            Some(halt) => format!("{name} halted: {} {}", halt.code, halt.message),
            None => format!("{name} waits: {waits_for}"),
        }
    }

    /// Notes why this process cannot go on, and lets whoever watches it ask, until `shutdown`.
    /// Otherwise one that is started again and again would be told to be silent, and nothing else.
    pub async fn tell_why(&self, problem: &Problem, shutdown: &CancellationToken) {
        let message = match &problem.cause {
            Some(cause) => format!("{}: {cause}", problem.what),
            None => problem.what.clone(),
        };
        let code = problem.code.unwrap_or(CANNOT_START);
        tracing::error!(code, reason = message, "cannot go on");
        let remedy = problem.fix.clone().unwrap_or_default();
        let halt = v1::Halt { code: code.to_owned(), message, remedy };
        self.failure.get_or_init(|| halt);
        shutdown.run_until_cancelled(tokio::time::sleep(LAST_WORD)).await;
    }

    /// Returns the clock's time, in microseconds since 1970.
    pub fn now_us(&self) -> i64 {
        self.clock.now().0
    }

    /// Returns how long the process runs, in milliseconds.
    pub fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns its line in the status.
    pub fn service(&self, is_standby: bool) -> v1::Service {
        v1::Service {
            name: self.name.to_owned(),
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.uptime_ms(),
            seen_ms: self.now_us() / 1_000,
            is_reachable: true,
            address: self.address.clone(),
            is_standby,
            ..v1::Service::default()
        }
    }
}

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// That of health and metrics.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// That of control.
    #[error("cannot serve control on {address}")]
    Control {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl EndpointError {
    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Admin(error) => error.remedy(),
            Self::Control { address, .. } => Some(format!(
                "Set control.listen to a free address of this machine, or stop what uses port {}.",
                address.port()
            )),
        }
    }
}

/// Listeners that were taken before anything was opened, so that a taken port is found out first.
#[derive(Debug, Default)]
pub struct Endpoints {
    admin: Option<Admin>,
    control: Option<(TcpListener, Option<String>)>,
}

impl Endpoints {
    /// Takes the addresses.
    ///
    /// # Errors
    /// If one is in use or not to be had.
    pub async fn bind(
        listen: Option<SocketAddr>,
        control: Option<&ControlConfig>,
    ) -> Result<Self, EndpointError> {
        let admin = match listen {
            Some(address) => Some(Admin::bind(address).await?),
            None => None,
        };
        let control = match control {
            Some(ControlConfig { listen, token }) => {
                let failed = |source| EndpointError::Control { address: *listen, source };
                let bound = TcpListener::bind(listen).await.map_err(failed)?;
                Some((bound, token.clone()))
            }
            None => None,
        };
        Ok(Self { admin, control })
    }

    /// Returns where control is served, or the directory whose socket serves it.
    pub fn control_address(&self, data_dir: &Path) -> String {
        let local = self.control.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
        local.map_or_else(|| data_dir.display().to_string(), |address| address.to_string())
    }

    /// Serves control on the socket in `data_dir` and on the addresses, and the admin endpoints,
    /// until `finished`. What fails is logged and leaves the rest as it is.
    pub async fn serve<C: Control>(
        self,
        control: &Arc<C>,
        data_dir: &Path,
        admin: impl FnOnce() -> AdminState,
        finished: &CancellationToken,
    ) {
        let socket = data_dir.join(cdc_control::SOCKET);
        let on_socket = async {
            loop {
                let served = cdc_control::serve(control.clone(), &socket, finished.clone()).await;
                match served {
                    // The instance that this one waits for.
                    Err(cdc_control::Error::AlreadyServed { .. }) => {}
                    Err(error) => {
                        tracing::error!(error = %error, "the control socket is not served");
                        return;
                    }
                    Ok(()) => return,
                }
                let wait = tokio::time::sleep(SOCKET_RETRY);
                if finished.run_until_cancelled(wait).await.is_none() {
                    return;
                }
            }
        };
        let on_address = async {
            let Some((listener, token)) = self.control else { return };
            let control = control.clone();
            let served = cdc_control::serve_tcp(control, listener, token, finished.clone()).await;
            if let Err(error) = served {
                tracing::error!(error = %error, "control is not served over TCP");
            }
        };
        let on_admin = async {
            let Some(bound) = self.admin else { return };
            tracing::info!(address = %bound.address(), "serving /healthz, /readyz and /metrics");
            if let Err(error) = bound.serve(admin(), finished.clone()).await {
                tracing::error!(error = %error, "the admin endpoints are not served");
            }
        };
        tokio::join!(on_socket, on_address, on_admin);
    }
}

/// Makes the admin state of a process: ready while `obstacle` names none, metrics out of `status`.
pub fn admin_state(
    obstacle: impl Fn() -> Option<String> + Send + Sync + 'static,
    status: impl Fn() -> v1::StatusReply + Send + Sync + 'static,
) -> AdminState {
    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry);
    AdminState::new(move || obstacle().map_or(Ok(()), Err), registry)
        .with_refresh(move || metrics.update(&status()))
}

/// Returns why a loop does not work, if it does not.
pub fn loop_obstacle(name: &str, state: cdc_pipeline::stats::State) -> Option<String> {
    use cdc_pipeline::stats::State;
    match state {
        State::Running => None,
        State::Starting => Some(format!("{name} is starting")),
        State::Waiting { reason } => Some(format!("{name} waits: {reason}")),
        State::Paused => Some(format!("{name} is paused")),
        State::Halted(halted) => Some(format!("{name} halted: {} {halted}", halted.code)),
        State::Stopped => Some(format!("{name} stopped")),
    }
}

/// Reads a position of the source.
///
/// # Errors
/// `INVALID_ARGUMENT` if it is none.
pub fn position(text: &str) -> Result<cdc_model::Lsn, tonic::Status> {
    let wrong = || tonic::Status::invalid_argument(format!("\"{text}\" is no position"));
    text.parse().map_err(|_| wrong())
}
