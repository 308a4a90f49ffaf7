//! The bytes of one connection, with an eye on them: where requests begin, whether the client still takes what
//! is sent, and a patient end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Finding, Framing};
use super::keeper::Kept;

pin_project! {
    /// A stream whose doings are noted.
    pub(super) struct Wire<S> {
        #[pin]
        stream: S,
        kept: Arc<Kept>,
        // None once it is HTTP/2, which has frames.
        framing: Option<Framing>,
        is_shut: bool,
    }
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, kept: Arc<Kept>) -> Self {
        Self { stream, kept, framing: Some(Framing::new()), is_shut: false }
    }
}

impl<S: AsyncRead> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buffer.filled().len();
        ready!(this.stream.poll_read(cx, buffer))?;
        if let (Some(framing), Some(read)) = (this.framing.as_mut(), buffer.filled().get(before..)) {
            let finding = framing.feed(read);
            this.kept.read(finding, framing.in_head());
            if finding == Finding::Http2 {
                *this.framing = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.stream.poll_write(cx, bytes);
        this.kept.wrote(written.is_ready());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.stream.poll_write_vectored(cx, bytes);
        this.kept.wrote(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let flushed = this.stream.poll_flush(cx);
        this.kept.wrote(flushed.is_ready());
        flushed
    }

    /// Says goodbye, and then reads on until the client does too: see [`super::keeper::limits::LINGER`].
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if !*this.is_shut {
            this.kept.close();
            ready!(this.stream.as_mut().poll_shutdown(cx))?;
            *this.is_shut = true;
        }
        let mut space = [0; 4096];
        for _ in 0..16 {
            let mut rest = ReadBuf::new(&mut space);
            let read = ready!(this.stream.as_mut().poll_read(cx, &mut rest));
            // That the client went first is as good an end as any.
            if read.is_err() || rest.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
