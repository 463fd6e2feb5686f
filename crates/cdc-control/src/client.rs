//! The asking side.

use std::io;
use std::path::{Path, PathBuf};

use futures_util::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::error::{Error, Result};
use crate::path::{SOCKET, SocketPath};
use crate::v1;
use crate::v1::control_client::ControlClient;

/// Bound of one answer; a query's rows are the largest.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connection to a running pipeline.
#[derive(Debug, Clone)]
pub struct Client {
    inner: ControlClient<Channel>,
}

impl Client {
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
        let inner = ControlClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { inner })
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
        let request = v1::TailRequest { topic: topic.map(str::to_owned), from_beginning };
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
