//! The side of the running process: the trait it implements, and the servers over its socket and
//! over TCP.
//!
//! The socket is bound under another name, given its mode, and only then renamed into place: nobody
//! connects to one that others may use, and a socket left by a killed process is replaced.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use crate::error::{Error, Result};
use crate::path::SocketPath;
use crate::v1;
use crate::v1::control_server::{Control as Rpc, ControlServer};

/// The metadata that carries a token, as `Bearer TOKEN`.
pub(crate) const AUTHORIZATION: &str = "authorization";

const WATCH_INTERVAL: Duration = Duration::from_secs(1);
const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Decoded records, without end unless the pipeline stops.
pub type TailStream = Pin<Box<dyn Stream<Item = Result<v1::TailEvent, Status>> + Send>>;

/// What a running pipeline can be asked and told.
///
/// An error's message is shown to the operator as it is: one line, without row values.
pub trait Control: Send + Sync + 'static {
    /// Tells one moment of everything; asked for up to ten times a second by each caller.
    fn status(&self) -> impl Future<Output = Result<v1::StatusReply, Status>> + Send;

    /// Begins to drain and stop, and returns at once.
    fn stop(&self) -> impl Future<Output = Result<(), Status>> + Send;

    /// Runs one read-only SELECT on the warehouse. `row_limit` is not zero.
    fn query(
        &self,
        _request: v1::QueryRequest,
    ) -> impl Future<Output = Result<v1::QueryReply, Status>> + Send {
        absent("a warehouse")
    }

    /// Follows one topic, or all; ended by dropping the stream.
    fn tail(
        &self,
        _request: v1::TailRequest,
    ) -> impl Future<Output = Result<TailStream, Status>> + Send {
        absent("a reader of the event log")
    }

    /// Accepts the schema that was refused last under the subject; `NOT_FOUND` if none was.
    fn accept_schema(
        &self,
        _request: v1::AcceptSchemaRequest,
    ) -> impl Future<Output = Result<v1::AcceptSchemaReply, Status>> + Send {
        absent("capture")
    }

    /// Holds what the target names; `NOT_FOUND` if it is not here.
    fn pause(&self, target: String) -> impl Future<Output = Result<(), Status>> + Send {
        absent(target)
    }

    /// Lets it go on.
    fn resume(&self, target: String) -> impl Future<Output = Result<(), Status>> + Send {
        absent(target)
    }

    /// Tells when what was committed up to a position came where.
    fn trace(
        &self,
        _request: v1::TraceRequest,
    ) -> impl Future<Output = Result<v1::TraceReply, Status>> + Send {
        absent("capture or a projection")
    }

    /// Lists parked records. `limit` is not zero.
    fn list_dead_letters(
        &self,
        _request: v1::ListDeadLettersRequest,
    ) -> impl Future<Output = Result<v1::ListDeadLettersReply, Status>> + Send {
        absent("a projection")
    }

    /// Applies parked records, or gives them up.
    fn settle_dead_letters(
        &self,
        _request: v1::SettleRequest,
        _settlement: Settlement,
    ) -> impl Future<Output = Result<v1::SettleReply, Status>> + Send {
        absent("a projection")
    }

    /// Lists subjects and their versions.
    fn list_schemas(
        &self,
        _request: v1::ListSchemasRequest,
    ) -> impl Future<Output = Result<v1::ListSchemasReply, Status>> + Send {
        absent("a schema registry")
    }

    /// Searches in full text. `limit` is not zero.
    fn search(
        &self,
        _request: v1::SearchRequest,
    ) -> impl Future<Output = Result<v1::SearchReply, Status>> + Send {
        absent("a search projection")
    }
}

/// What becomes of parked records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// They are applied.
    Replay,
    /// They are given up.
    Discard,
}

fn absent<T: Send>(what: impl Into<String>) -> std::future::Ready<Result<T, Status>> {
    let text = format!("this process does not run {}", what.into());
    std::future::ready(Err(Status::unimplemented(text)))
}

/// Serves `control` over a Unix socket at `socket` (mode 0600) until `shutdown`, then ends every
/// stream and removes the socket. The directory must exist.
///
/// # Errors
/// [`Error::AlreadyServed`] if somebody answers at the socket, [`Error::Bind`] if it cannot be
/// made; both before anything is served.
pub async fn serve<C: Control>(
    control: Arc<C>,
    socket: &Path,
    shutdown: CancellationToken,
) -> Result<()> {
    let listener = bind(socket).await?;
    let rpc = Service { control, shutdown: shutdown.clone() };
    let served = tonic::transport::Server::builder()
        .add_service(ControlServer::new(rpc))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), shutdown.cancelled_owned())
        .await;
    drop(std::fs::remove_file(socket));
    Ok(served?)
}

/// Serves `control` over TCP until `shutdown`, to callers that know `token`, or to everybody if there
/// is none: then the listener should be on loopback.
///
/// # Errors
/// If serving fails.
pub async fn serve_tcp<C: Control>(
    control: Arc<C>,
    listener: TcpListener,
    token: Option<String>,
    shutdown: CancellationToken,
) -> Result<()> {
    let rpc = Service { control, shutdown: shutdown.clone() };
    let guard = Guard { expected: token.map(|token| format!("Bearer {token}")) };
    let service = ControlServer::with_interceptor(rpc, move |request| guard.admit(request));
    let served = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await;
    Ok(served?)
}

/// How long a process that ends may take for its last word.
const FAREWELL_LIMIT: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Guard {
    expected: Option<String>,
}

impl Guard {
    fn admit(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.expected else { return Ok(request) };
        let given = request.metadata().get(AUTHORIZATION).map(MetadataValue::as_bytes);
        if given.is_some_and(|given| is_equal(given, expected.as_bytes())) {
            return Ok(request);
        }
        Err(Status::unauthenticated("the control token is missing or wrong"))
    }
}

/// Compares in a time that does not tell where the first difference is.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |found, (a, b)| found | (a ^ b)) == 0
}

async fn bind(socket: &Path) -> Result<UnixListener> {
    let failed = |source: io::Error| Error::Bind { socket: socket.to_owned(), source };
    let short = SocketPath::new(socket).map_err(failed)?;
    if UnixStream::connect(short.as_path()).await.is_ok() {
        return Err(Error::AlreadyServed { socket: socket.to_owned() });
    }
    let fresh = short.as_path().with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&fresh, short.as_path()).map_err(failed)?;
    Ok(listener)
}

/// Adapts a [`Control`] to the generated service.
struct Service<C> {
    control: Arc<C>,
    shutdown: CancellationToken,
}

#[tonic::async_trait]
impl<C: Control> Rpc for Service<C> {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::StatusReply, Status>> + Send>>;
    type TailStream = TailStream;

    async fn status(
        &self,
        _request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusReply>, Status> {
        self.control.status().await.map(Response::new)
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let interval = match request.into_inner().interval_ms {
            0 => WATCH_INTERVAL,
            ms => Duration::from_millis(ms.into()).max(WATCH_INTERVAL_MIN),
        };
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let control = Arc::clone(&self.control);
        let replies =
            futures_util::stream::unfold((ticks, control), async |(mut ticks, control)| {
                ticks.tick().await;
                let reply = control.status().await;
                Some((reply, (ticks, control)))
            });
        let until = self.shutdown.clone().cancelled_owned();
        // Why it ends is worth more than any moment before.
        let control = Arc::clone(&self.control);
        let last = async move { tokio::time::timeout(FAREWELL_LIMIT, control.status()).await };
        let last =
            futures_util::stream::once(last).filter_map(|last| std::future::ready(last.ok()));
        Ok(Response::new(Box::pin(replies.take_until(until).chain(last))))
    }

    async fn query(
        &self,
        request: Request<v1::QueryRequest>,
    ) -> Result<Response<v1::QueryReply>, Status> {
        let mut request = request.into_inner();
        if request.row_limit == 0 {
            request.row_limit = 10_000;
        }
        self.control.query(request).await.map(Response::new)
    }

    async fn tail(
        &self,
        request: Request<v1::TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let events = self.control.tail(request.into_inner()).await?;
        let until = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(Box::pin(events.take_until(until))))
    }

    async fn accept_schema(
        &self,
        request: Request<v1::AcceptSchemaRequest>,
    ) -> Result<Response<v1::AcceptSchemaReply>, Status> {
        self.control.accept_schema(request.into_inner()).await.map(Response::new)
    }

    async fn stop(
        &self,
        _request: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopReply>, Status> {
        self.control.stop().await.map(|()| Response::new(v1::StopReply {}))
    }

    async fn pause(
        &self,
        request: Request<v1::PauseRequest>,
    ) -> Result<Response<v1::PauseReply>, Status> {
        let target = request.into_inner().target;
        self.control.pause(target).await.map(|()| Response::new(v1::PauseReply {}))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeReply>, Status> {
        let target = request.into_inner().target;
        self.control.resume(target).await.map(|()| Response::new(v1::ResumeReply {}))
    }

    async fn trace(
        &self,
        request: Request<v1::TraceRequest>,
    ) -> Result<Response<v1::TraceReply>, Status> {
        self.control.trace(request.into_inner()).await.map(Response::new)
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersReply>, Status> {
        let mut request = request.into_inner();
        if request.limit == 0 {
            request.limit = 100;
        }
        self.control.list_dead_letters(request).await.map(Response::new)
    }

    async fn replay_dead_letters(
        &self,
        request: Request<v1::SettleRequest>,
    ) -> Result<Response<v1::SettleReply>, Status> {
        let settling = self.control.settle_dead_letters(request.into_inner(), Settlement::Replay);
        settling.await.map(Response::new)
    }

    async fn discard_dead_letters(
        &self,
        request: Request<v1::SettleRequest>,
    ) -> Result<Response<v1::SettleReply>, Status> {
        let settling = self.control.settle_dead_letters(request.into_inner(), Settlement::Discard);
        settling.await.map(Response::new)
    }

    async fn list_schemas(
        &self,
        request: Request<v1::ListSchemasRequest>,
    ) -> Result<Response<v1::ListSchemasReply>, Status> {
        self.control.list_schemas(request.into_inner()).await.map(Response::new)
    }

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchReply>, Status> {
        let mut request = request.into_inner();
        if request.limit == 0 {
            request.limit = 20;
        }
        self.control.search(request).await.map(Response::new)
    }
}
