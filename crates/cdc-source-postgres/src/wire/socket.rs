//! A TCP socket whose two directions are watched one by one, and only while somebody waits.
//!
//! tokio watches a socket from its making to its end: each segment that arrives wakes the runtime,
//! whether or not anybody waits to read. A server that streams a backlog sends a segment for about
//! every row, so that a reader who lets data collect would be woken for each row all the same, and
//! the server would pay for the waking.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The reading half of a connection.
pub(super) trait Incoming: AsyncRead + Send + Unpin {
    /// Hears nothing of what arrives, until the next read. Does nothing where that is impossible.
    fn rest(&mut self) {}
}

/// A socket, watched or not.
#[derive(Debug)]
enum Socket {
    Watched(TcpStream),
    Resting(std::net::TcpStream),
    /// The runtime refused it.
    Lost,
}

/// The reading half of a TCP connection; watched from a read on.
#[derive(Debug)]
pub(super) struct TcpReader(Socket);

/// The writing half of a TCP connection; watched during a write. Dropping it tells the server that
/// nothing more will come.
#[derive(Debug)]
pub(super) struct TcpWriter(Socket);

/// Parts the two halves.
pub(super) fn split(socket: TcpStream) -> io::Result<(TcpReader, TcpWriter)> {
    let reader = socket.into_std()?;
    let writer = reader.try_clone()?;
    Ok((TcpReader(Socket::Resting(reader)), TcpWriter(Socket::Resting(writer))))
}

impl Socket {
    fn watched(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if let Self::Resting(_) = self
            && let Self::Resting(socket) = mem::replace(self, Self::Lost)
        {
            *self = Self::Watched(TcpStream::from_std(socket)?);
        }
        match self {
            Self::Watched(socket) => Ok(Pin::new(socket)),
            Self::Resting(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn rest(&mut self) {
        *self = match mem::replace(self, Self::Lost) {
            Self::Watched(socket) => socket.into_std().map_or(Self::Lost, Self::Resting),
            other => other,
        };
    }
}

impl AsyncRead for TcpReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.watched()?.poll_read(context, buffer)
    }
}

impl Incoming for TcpReader {
    fn rest(&mut self) {
        self.0.rest();
    }
}

impl AsyncWrite for TcpWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.0.watched()?.poll_write(context, bytes));
        self.0.rest();
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.watched()?.poll_shutdown(context)
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        // The server may have closed it already.
        let _gone = match &self.0 {
            Socket::Watched(socket) => SockRef::from(socket).shutdown(Shutdown::Write),
            Socket::Resting(socket) => socket.shutdown(Shutdown::Write),
            Socket::Lost => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_arrives_while_a_reader_rests_is_read_afterwards() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut reader, mut writer) = split(client.unwrap()).unwrap();
        let (mut server, _) = server.unwrap();
        let mut seen = [0; 3];
        for round in 0..3 {
            server.write_all(&[round; 3]).await.unwrap();
            reader.read_exact(&mut seen).await.unwrap();
            assert_eq!(seen, [round; 3]);
            reader.rest();
            writer.write_all(&seen).await.unwrap();
            server.read_exact(&mut seen).await.unwrap();
        }
        drop(writer);
        assert_eq!(server.read(&mut seen).await.unwrap(), 0, "the end of one direction");
        server.write_all(b"end").await.unwrap();
        reader.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"end");
    }
}
