//! Requests whose body is sent only while the run's lease is in force.

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use http::{Request, Response};
use kube::{Client, client::Body};
use stargate_client::{CallPermit, FencedBody};
use tower::service_fn;

/// Wraps the body of a request in one that checks the permit when the connection asks for it: a
/// connection can take seconds to be made, and the process can be stopped meanwhile.
///
/// # Errors
/// Those of a body that is not in memory; bodies of this crate are.
pub(crate) async fn fence(request: Request<Body>, permit: CallPermit) -> Result<Request<Body>, kube::Error> {
    let (head, body) = request.into_parts();
    let content = body.collect_bytes().await?;
    if content.is_empty() {
        return Ok(Request::from_parts(head, Body::empty()));
    }
    Ok(Request::from_parts(head, kube_body(FencedBody::new(content, permit)).await?))
}

/// Makes a body of kube's type, which no public function does for a request: it is the body of a
/// response of a client whose server is a function.
async fn kube_body(body: FencedBody) -> Result<Body, kube::Error> {
    let mut body = Some(body);
    let answer = move |_: Request<Body>| -> Ready<Result<Response<FencedBody>, Infallible>> {
        ready(Ok(Response::new(body.take().expect("one request is sent"))))
    };
    Ok(Client::new(service_fn(answer), "default").send(Request::new(Body::empty())).await?.into_body())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stargate_client::CallEffect;
    use stargate_sdk::{ActionContext, LEASE_EXPIRED, Secrets};

    use super::*;
    use crate::error::unanswered_error;

    async fn fenced(cx: &ActionContext) -> Request<Body> {
        let permit = CallEffect::MayHaveChanged.permit(cx, "call").await.expect("in force");
        let request = Request::builder().method("PATCH").body(Body::from(b"{}".to_vec())).expect("valid");
        fence(request, permit).await.expect("in memory")
    }

    #[tokio::test]
    async fn a_body_is_sent_only_while_the_lease_is_in_force() {
        let cx = ActionContext::detached("test", Arc::new(Secrets::default()));
        let sent = fenced(&cx).await.into_body().collect_bytes().await.expect("in force");
        assert_eq!(sent.as_ref(), b"{}");
        let late = fenced(&cx).await;
        cx.lease().lose();
        let error = late.into_body().collect_bytes().await.expect_err("the lease is lost");
        let error = unanswered_error(CallEffect::MayHaveChanged, "call", &error);
        assert_eq!(error.code.as_deref(), Some(LEASE_EXPIRED), "nothing was sent: {error}");
    }
}
