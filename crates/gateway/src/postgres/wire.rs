//! A connection's bytes: whole messages in, waiting messages out, and whether the client is still there.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frame::{self, Opening, Outbox, Request};

/// Most bytes of a message before the client is known. A longest name, a proof and a handful of parameters fit many times.
const OPENING_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of a message of a known client: a statement and the values of its parameters.
pub(super) const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// What is kept of the buffers while a connection is idle.
const IDLE_BYTES_MAX: usize = 16 * 1024;
/// What a buffer grows by.
const READ_BYTES: usize = 8 * 1024;

/// The two ways of a connection, over TCP or TLS.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Why no more messages come.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The network failed, or the client left in the middle of a message.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The message is larger than it may be.
    #[error("a message of {0} bytes")]
    TooLarge(usize),
    /// The message is none of the protocol.
    #[error("a message that is not of the protocol")]
    Malformed,
}

/// A connection.
pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    inbox: BytesMut,
    /// Messages that wait for [`Wire::flush`].
    pub(super) outbox: Outbox,
    /// How long the client may leave what is sent untaken.
    patience: Duration,
    bytes_max: usize,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Duplex>, patience: Duration) -> Self {
        let (inbox, outbox) = (BytesMut::new(), Outbox::default());
        Self { stream, inbox, outbox, patience, bytes_max: OPENING_BYTES_MAX }
    }

    /// The stream alone, when nothing has been read beyond the last message; else nothing, for then something was sent in
    /// the clear that was to be sent encrypted.
    pub(super) fn into_stream(self) -> Option<Box<dyn Duplex>> {
        self.inbox.is_empty().then_some(self.stream)
    }

    /// The client is known: larger messages may come, and he may take his time.
    pub(super) fn trust(&mut self, patience: Duration) {
        self.bytes_max = REQUEST_BYTES_MAX;
        self.patience = patience;
    }

    /// The first message; none when the client left.
    pub(super) async fn opening(&mut self) -> Result<Option<Opening>, WireError> {
        loop {
            if let Some(body) = self.whole(0)? {
                return frame::read_opening(body).map(Some).ok_or(WireError::Malformed);
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The next message; none when the client left.
    pub(super) async fn request(&mut self) -> Result<Option<Request>, WireError> {
        loop {
            let tag = self.inbox.first().copied();
            if let (Some(tag), Some(body)) = (tag, self.whole(1)?) {
                return frame::read_request(tag, body).map(Some).ok_or(WireError::Malformed);
            }
            if self.inbox.is_empty() && self.inbox.capacity() > IDLE_BYTES_MAX {
                self.inbox = BytesMut::new();
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The body of a message whose length stands after `ahead` bytes, when all of it is there.
    fn whole(&mut self, ahead: usize) -> Result<Option<Bytes>, WireError> {
        let Some(length) = self.inbox.get(ahead..ahead + 4) else { return Ok(None) };
        let length = u32::from_be_bytes(length.try_into().expect("four bytes were cut out")) as usize;
        if length < 4 {
            return Err(WireError::Malformed);
        }
        if length > self.bytes_max {
            return Err(WireError::TooLarge(length));
        }
        if self.inbox.len() < ahead + length {
            return Ok(None);
        }
        self.inbox.advance(ahead + 4);
        Ok(Some(self.inbox.split_to(length - 4).freeze()))
    }

    /// Reads more; false when the client closed his side between two messages.
    async fn fill(&mut self) -> io::Result<bool> {
        self.inbox.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.inbox).await? > 0 {
            return Ok(true);
        }
        if self.inbox.is_empty() { Ok(false) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Comes back when the client is gone. What he sends meanwhile is kept for [`Wire::request`].
    pub(super) async fn hung_up(&mut self) {
        loop {
            if self.inbox.len() > self.bytes_max {
                return std::future::pending().await;
            }
            if !matches!(self.fill().await, Ok(true)) {
                return;
            }
        }
    }

    /// Sends what waits. Dropped in the middle, the rest still waits. Error: the client is gone, or did not take it in time.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.bytes.is_empty() {
            let written = self.stream.write_buf(&mut self.outbox.bytes);
            match tokio::time::timeout(self.patience, written).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        if self.outbox.bytes.capacity() > IDLE_BYTES_MAX {
            self.outbox.bytes = BytesMut::new();
        }
        match tokio::time::timeout(self.patience, self.stream.flush()).await {
            Ok(flushed) => flushed,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sends one byte: the answer to [`Opening::Tls`] or [`Opening::Gss`].
    pub(super) async fn answer(&mut self, byte: u8) -> io::Result<()> {
        self.outbox.bytes.extend_from_slice(&[byte]);
        self.flush().await
    }

    /// Closes the connection; the client sees its end after what was sent.
    pub(super) async fn close(mut self) {
        // He may be gone already.
        let _ = tokio::time::timeout(self.patience, self.stream.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn wire() -> (Wire, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        (Wire::new(Box::new(ours), PATIENCE), theirs)
    }

    #[tokio::test]
    async fn messages_come_whole_and_in_order() {
        let (mut wire, mut client) = wire();
        client.write_all(b"Q\0\0\0\x0dSELECT 1\0S\0\0\0\x04X\0\0").await.unwrap();
        assert_eq!(wire.request().await.unwrap(), Some(Request::Query("SELECT 1".to_owned())));
        assert_eq!(wire.request().await.unwrap(), Some(Request::Sync));
        client.write_all(b"\0\x04").await.unwrap();
        assert_eq!(wire.request().await.unwrap(), Some(Request::Terminate));
        drop(client);
        assert_eq!(wire.request().await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_length_of_a_message_is_bounded_before_it_is_read() {
        let (mut wire, mut client) = wire();
        client.write_all(b"Q\x40\0\0\0").await.unwrap();
        assert!(matches!(wire.request().await, Err(WireError::TooLarge(_))));
        let (mut wire, mut client) = self::wire();
        client.write_all(b"Q\0\0\0\x03").await.unwrap();
        assert!(matches!(wire.request().await, Err(WireError::Malformed)));
        let (mut wire, mut client) = self::wire();
        client.write_all(b"Q\0\0\0\x0dSEL").await.unwrap();
        drop(client);
        assert!(matches!(wire.request().await, Err(WireError::Io(_))));
    }

    #[tokio::test]
    async fn what_comes_while_an_answer_is_made_is_kept() {
        let (mut wire, mut client) = wire();
        client.write_all(b"S\0\0\0\x04").await.unwrap();
        drop(client);
        wire.hung_up().await;
        assert_eq!(wire.request().await.unwrap(), Some(Request::Sync));
    }
}
