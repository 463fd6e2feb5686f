//! The asking side.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::error::{Error, Result};
use crate::path::{SOCKET, SocketPath};
use crate::serve::{AUTHORIZATION, Settlement};
use crate::v1;
use crate::v1::control_client::ControlClient;

/// How long a connection over TCP may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Bound of one answer; a query's rows are the largest.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connection to a running process.
#[derive(Debug, Clone)]
pub struct Client {
    inner: ControlClient<InterceptedService<Channel, Token>>,
}

/// Adds the token to each request.
#[derive(Debug, Clone)]
struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert(AUTHORIZATION, token.clone());
        }
        Ok(request)
    }
}

impl Client {
    /// Makes a client of the process that serves control at `address` (`HOST:PORT`). It connects when
    /// it is first asked something, and again after the process was away.
    ///
    /// # Errors
    /// [`Error::Address`] if the address cannot be read, [`Error::Token`] if the token is not
    /// printable ASCII.
    pub fn of_address(address: &str, token: Option<&str>) -> Result<Self> {
        let wrong = |_| Error::Address { address: address.to_owned() };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(wrong)?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        let token = token.map(|token| format!("Bearer {token}").parse()).transpose();
        let token = token.map_err(|_| Error::Token)?.map(|mut token: MetadataValue<Ascii>| {
            token.set_sensitive(true);
            token
        });
        Ok(Self::over(endpoint.connect_lazy(), token))
    }

    fn over(channel: Channel, token: Option<MetadataValue<Ascii>>) -> Self {
        let inner = ControlClient::with_interceptor(channel, Token(token));
        Self { inner: inner.max_decoding_message_size(MESSAGE_BYTES_MAX) }
    }

    /// Connects to the pipeline that uses the data directory `dir`.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody listens there, [`Error::Connect`] if this user may not ask.
    pub async fn connect(dir: &Path) -> Result<Self> {
        let stream = open(dir).await?;
        // The one connection; a channel that loses it finds nobody.
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_: tonic::transport::Uri| {
            let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe));
            std::future::ready(stream)
        });
        // The name is not looked up: the connector knows where to go.
        let endpoint = Endpoint::from_static("http://penstock.local");
        let channel = endpoint.connect_with_connector(connector).await?;
        Ok(Self::over(channel, None))
    }

    /// Asks for one moment of everything.
    ///
    /// # Errors
    /// [`Error::Gone`] if the pipeline went away.
    pub async fn status(&mut self) -> Result<v1::StatusReply> {
        Ok(self.inner.status(v1::StatusRequest {}).await?.into_inner())
    }

    /// Follows the status at an interval of at least 100 ms. Ends when the pipeline stops.
    ///
    /// # Errors
    /// As [`Client::status`], also within the stream.
    pub async fn watch(
        &mut self,
        interval_ms: u32,
    ) -> Result<impl Stream<Item = Result<v1::StatusReply>> + use<>> {
        let reply = self.inner.watch(v1::WatchRequest { interval_ms }).await?;
        Ok(reply.into_inner().map(|item| item.map_err(Error::from)))
    }

    /// Runs one read-only SELECT and returns up to `row_limit` rows, 10,000 if zero.
    ///
    /// # Errors
    /// [`Error::Refused`] with the projection's words if the SQL is not accepted.
    pub async fn query(&mut self, sql: &str, row_limit: u32) -> Result<v1::QueryReply> {
        let request = v1::QueryRequest { sql: sql.to_owned(), row_limit };
        Ok(self.inner.query(request).await?.into_inner())
    }

    /// Follows the records of `topic`, or of all topics.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such topic.
    pub async fn tail(
        &mut self,
        topic: Option<&str>,
        from_beginning: bool,
    ) -> Result<impl Stream<Item = Result<v1::TailEvent>> + use<>> {
        let topic = topic.map(str::to_owned);
        self.follow(v1::TailRequest { topic, from_beginning, per_second_max: 0 }).await
    }

    /// Follows a sample of the records of `topic`, or of all topics, from now on: at most
    /// `per_second_max` of them, which is not zero. The others are counted and not sent.
    ///
    /// # Errors
    /// As [`Client::tail`].
    pub async fn sample(
        &mut self,
        topic: Option<&str>,
        per_second_max: u32,
    ) -> Result<impl Stream<Item = Result<v1::TailEvent>> + use<>> {
        let topic = topic.map(str::to_owned);
        self.follow(v1::TailRequest { topic, from_beginning: false, per_second_max }).await
    }

    async fn follow(
        &mut self,
        request: v1::TailRequest,
    ) -> Result<impl Stream<Item = Result<v1::TailEvent>> + use<>> {
        let reply = self.inner.tail(request).await?;
        Ok(reply.into_inner().map(|item| item.map_err(Error::from)))
    }

    /// Accepts the schema that was refused last under `subject`.
    ///
    /// # Errors
    /// [`Error::Refused`] if none was.
    pub async fn accept_schema(&mut self, subject: &str) -> Result<v1::AcceptSchemaReply> {
        let request = v1::AcceptSchemaRequest { subject: subject.to_owned() };
        Ok(self.inner.accept_schema(request).await?.into_inner())
    }

    /// Holds capture (`capture`), or the projection of that name.
    ///
    /// # Errors
    /// [`Error::Refused`] if the process does not run it.
    pub async fn pause(&mut self, target: &str) -> Result<()> {
        self.inner.pause(v1::PauseRequest { target: target.to_owned() }).await?;
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// As [`Client::pause`].
    pub async fn resume(&mut self, target: &str) -> Result<()> {
        self.inner.resume(v1::ResumeRequest { target: target.to_owned() }).await?;
        Ok(())
    }

    /// Asks when what was committed up to `position` came where.
    ///
    /// # Errors
    /// [`Error::Refused`] if the position cannot be read.
    pub async fn trace(&mut self, position: &str) -> Result<v1::TraceReply> {
        let request = v1::TraceRequest { position: position.to_owned() };
        Ok(self.inner.trace(request).await?.into_inner())
    }

    /// Lists up to `limit` parked records of a projection, the oldest, or of all if the name is empty.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such projection.
    pub async fn dead_letters(
        &mut self,
        projection: &str,
        limit: u32,
    ) -> Result<v1::ListDeadLettersReply> {
        let projection = projection.to_owned();
        self.list_dead_letters(v1::ListDeadLettersRequest {
            projection,
            limit,
            ..Default::default()
        })
        .await
    }

    /// Lists the parked records that are asked for.
    ///
    /// # Errors
    /// As [`Client::dead_letters`].
    pub async fn list_dead_letters(
        &mut self,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersReply> {
        Ok(self.inner.list_dead_letters(request).await?.into_inner())
    }

    /// Applies parked records, or gives them up.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such projection.
    pub async fn settle(
        &mut self,
        request: v1::SettleRequest,
        settlement: Settlement,
    ) -> Result<v1::SettleReply> {
        let reply = match settlement {
            Settlement::Replay => self.inner.replay_dead_letters(request).await?,
            Settlement::Discard => self.inner.discard_dead_letters(request).await?,
        };
        Ok(reply.into_inner())
    }

    /// Lists the subject of that name, or all if it is empty.
    ///
    /// # Errors
    /// [`Error::Refused`] if the process has no registry.
    pub async fn schemas(&mut self, subject: &str) -> Result<v1::ListSchemasReply> {
        let request = v1::ListSchemasRequest { subject: subject.to_owned() };
        Ok(self.inner.list_schemas(request).await?.into_inner())
    }

    /// Searches in full text.
    ///
    /// # Errors
    /// [`Error::Refused`] if the query cannot be read.
    pub async fn search(&mut self, query: &str, limit: u32) -> Result<v1::SearchReply> {
        let request = v1::SearchRequest { query: query.to_owned(), limit };
        Ok(self.inner.search(request).await?.into_inner())
    }

    /// Tells the pipeline to drain and stop.
    ///
    /// # Errors
    /// [`Error::Gone`] if it went away before answering.
    pub async fn stop(&mut self) -> Result<()> {
        self.inner.stop(v1::StopRequest {}).await?;
        Ok(())
    }
}

async fn open(dir: &Path) -> Result<UnixStream> {
    let socket: PathBuf = dir.join(SOCKET);
    let connected = match SocketPath::new(&socket) {
        Ok(short) => UnixStream::connect(short.as_path()).await,
        Err(error) => Err(error),
    };
    connected.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::NotADirectory => Error::NotRunning { dir: dir.to_owned() },
        _ => Error::Connect { socket, source },
    })
}
