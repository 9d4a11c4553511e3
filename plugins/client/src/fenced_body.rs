use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use reqwest::{RequestBuilder, Response};
use stargate_sdk::ActionError;

use crate::CallPermit;

/// Body of a request that is sent only if the permit still holds when the connection asks for it.
///
/// A connection can take seconds to be made, and the process can be stopped meanwhile. The head of
/// a request without its body has no effect.
#[derive(Debug)]
pub struct FencedBody {
    content: Bytes,
    permit: CallPermit,
    sent: bool,
}

impl FencedBody {
    /// Body with this content.
    pub fn new(content: Bytes, permit: CallPermit) -> Self {
        Self { content, permit, sent: false }
    }
}

impl Body for FencedBody {
    type Data = Bytes;
    type Error = ActionError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.sent {
            return Poll::Ready(None);
        }
        self.sent = true;
        let checked = self.permit.check();
        Poll::Ready(Some(checked.map(|()| Frame::data(std::mem::take(&mut self.content)))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.len() as u64)
    }
}

/// Sends a request. The permit is checked again when a body is sent, after the connection has been
/// made.
///
/// # Errors
/// Those of reqwest. [`expired`] has the error of a permit that did not hold any more.
pub async fn send(permit: CallPermit, request: RequestBuilder) -> Result<Response, reqwest::Error> {
    let (client, request) = request.build_split();
    let mut request = request?;
    if let Some(content) = request.body().and_then(reqwest::Body::as_bytes)
        && !content.is_empty()
    {
        let content = Bytes::copy_from_slice(content);
        *request.body_mut() = Some(reqwest::Body::wrap(FencedBody::new(content, permit)));
    }
    client.execute(request).await
}

/// Returns the error of a permit that did not hold any more, if it is the cause of `error`: then
/// nothing was sent.
pub fn expired(error: &(dyn Error + 'static)) -> Option<ActionError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(expired) = error.downcast_ref::<ActionError>() {
            return Some(expired.clone());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{Router, routing::post};
    use stargate_sdk::{ActionContext, LEASE_EXPIRED, Secrets};

    use super::*;
    use crate::{CallEffect, http_client};

    /// Starts a server that counts requests and returns their bodies.
    async fn server(count: Arc<AtomicUsize>) -> String {
        let echo = move |body: String| {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(body)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(echo))).await });
        url
    }

    #[tokio::test]
    async fn a_body_is_sent_only_while_the_permit_holds() {
        let count = Arc::new(AtomicUsize::new(0));
        let (url, client) = (server(Arc::clone(&count)).await, http_client(Vec::new()).expect("a client"));
        let cx = ActionContext::detached("test", Arc::new(Secrets::default()));
        let permit = || CallEffect::MayHaveChanged.permit(&cx, "call");
        let sent = send(permit().await.expect("in force"), client.post(&url).body("text")).await.expect("sent");
        assert_eq!(sent.text().await.expect("a body"), "text");
        let late = permit().await.expect("in force");
        cx.lease().lose();
        let error = send(late, client.post(&url).body("text")).await.expect_err("expired");
        assert_eq!(expired(&error).expect("the cause").code.as_deref(), Some(LEASE_EXPIRED));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}
