use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::middleware;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::callers::{AllowedNames, Reached, refuse_foreign};

/// Scheme by which a client reaches the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Certificate of the client of a connection, if it presented one.
#[derive(Debug, Clone)]
pub(crate) struct Peer(pub(crate) Option<Arc<[u8]>>);

/// Response that closes the connection without an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sever;

impl IntoResponse for Sever {
    fn into_response(self) -> axum::response::Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the simulated world closes the connection without an answer")]
struct Severed;

/// Serves `router` on `listener` until `stop`; then open connections are closed.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    names: AllowedNames,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) {
    let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
    let router = router.layer(axum::Extension(scheme));
    let acceptor = tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection to the simulated world will be slow");
                }
                let Ok(local) = stream.local_addr() else { continue };
                let reached = Reached { names: names.clone(), local, scheme: scheme.to_string() };
                let guard = middleware::from_fn_with_state(reached, refuse_foreign);
                let (router, acceptor) = (router.clone().layer(guard), acceptor.clone());
                connections.spawn(async move {
                    match acceptor {
                        None => connection(stream, router.layer(axum::Extension(Peer(None)))).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                                let peer = Peer(shown.map(|certificate| Arc::from(certificate.as_ref())));
                                connection(stream, router.layer(axum::Extension(peer))).await;
                            }
                        }
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = service.call(request.map(Body::new));
        async move {
            let answer: Result<Response<Body>, Infallible> = answer.await;
            let Ok(answer) = answer;
            if answer.extensions().get::<Sever>().is_some() { Err(Severed) } else { Ok(answer) }
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // Operation URLs are 3.5 KB long and come back as a request line.
        .max_buf_size(128 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the simulated world ended");
    }
}
