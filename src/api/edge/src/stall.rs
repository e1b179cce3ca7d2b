//! A socket whose peer must keep reading. Otherwise a slow reader could hold a response, and the
//! data it is made from, for as long as it likes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Bytes that the peer must read in each period of the timeout, unless it reads everything.
const PROGRESS_BYTES: usize = 16 * 1024;

/// Fails a write with `TimedOut` if the peer reads too little. Also holds the connection's permit.
pub(crate) struct Watched<S, P> {
    stream: S,
    timeout: Duration,
    /// While there is more to write than the peer reads.
    stall: Option<Stall>,
    _permit: P,
}

struct Stall {
    end: Pin<Box<Sleep>>,
    /// Bytes since the period began.
    written: usize,
}

impl<S: AsyncWrite + Unpin, P> Watched<S, P> {
    pub(crate) fn new(stream: S, timeout: Duration, permit: P) -> Self {
        Self {
            stream,
            timeout,
            stall: None,
            _permit: permit,
        }
    }

    fn watch(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            if let (Some(stall), Ok(bytes)) = (&mut self.stall, &written) {
                stall.written += bytes;
                if stall.written >= PROGRESS_BYTES {
                    self.stall = None;
                }
            }
            return Poll::Ready(written);
        }
        let stall = self.stall.get_or_insert_with(|| Stall {
            end: Box::pin(sleep(self.timeout)),
            written: 0,
        });
        let ended = stall.end.as_mut().poll(context);
        ended.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin, P: Unpin> AsyncWrite for Watched<S, P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Hyper flushes when all is written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stall = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin, P: Unpin> AsyncRead for Watched<S, P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::sleep,
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);

    fn connection() -> (Watched<DuplexStream, ()>, DuplexStream) {
        let (ours, theirs) = duplex(1024);
        (Watched::new(ours, TIMEOUT, ()), theirs)
    }

    /// Reads this much every half minute.
    async fn read_slowly(mut theirs: DuplexStream, each: usize) {
        let mut buffer = vec![0; each];
        while theirs.read_exact(&mut buffer).await.is_ok() {
            sleep(TIMEOUT / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_or_too_little_is_cut_off() {
        let (mut ours, theirs) = connection();
        let error = ours.write_all(&[0; 4096]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);

        let (mut ours, theirs) = connection();
        let written = async move { ours.write_all(&vec![0; 64 * PROGRESS_BYTES]).await };
        let (written, ()) = tokio::join!(written, read_slowly(theirs, 100));
        let error = written.expect_err("it would take days");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_enough_may_take_long() {
        let (mut ours, theirs) = connection();
        let written = async move { ours.write_all(&vec![0; 64 * PROGRESS_BYTES]).await };
        let (written, ()) = tokio::join!(written, read_slowly(theirs, PROGRESS_BYTES));
        written.expect("everything is read");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_not_stalled() {
        let (mut ours, mut theirs) = connection();
        for _ in 0..3 {
            let write = async {
                ours.write_all(&[0; 4096]).await?;
                ours.flush().await
            };
            let mut buffer = [0; 4096];
            let (written, read) = tokio::join!(write, theirs.read_exact(&mut buffer));
            written.expect("it is read");
            read.expect("it arrives");
            sleep(2 * TIMEOUT).await;
        }
    }
}
