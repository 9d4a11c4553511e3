use std::{future::Future, time::Duration};

use http::StatusCode;
use stargate_sdk::{ActionContext, Secret};
use tokio::{sync::Mutex, time::Instant};

use crate::HttpResponse;

/// A token is refreshed this long before it expires, Azure's own advice, so that none expires while
/// it is sent; but not before half its lifetime.
pub const REFRESH_MARGIN: Duration = Duration::from_mins(5);

/// Longest lifetime that is believed: Azure's longest-lived tokens have 24 hours.
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// A bearer token as an identity provider issued it.
#[derive(Debug, Clone)]
pub struct AccessToken<D = ()> {
    /// The token itself.
    pub value: Secret,
    /// Time from now on for which it is valid.
    pub lifetime: Duration,
    /// Anything else that the identity provider returned, such as scopes.
    pub details: D,
}

/// Keeps a token until shortly before it expires. One caller at a time obtains a new one, while the
/// others wait for it.
#[derive(Debug)]
pub struct TokenCache<D = ()> {
    // Held while a token is fetched: callers that come meanwhile wait for that one.
    cached: Mutex<Option<CachedToken<D>>>,
}

#[derive(Debug, Clone)]
struct CachedToken<D> {
    token: AccessToken<D>,
    refresh_at: Instant,
}

impl<D: Clone> TokenCache<D> {
    /// An empty cache.
    pub fn new() -> Self {
        Self { cached: Mutex::new(None) }
    }

    /// Returns the cached token, or the one that `fetch` obtains; its value is redacted from now
    /// on.
    ///
    /// # Errors
    /// Those of `fetch`; the cache is then empty.
    pub async fn token<E, R>(&self, cx: &ActionContext, fetch: impl FnOnce() -> R) -> Result<AccessToken<D>, E>
    where
        R: Future<Output = Result<AccessToken<D>, E>>,
    {
        let mut cached = self.cached.lock().await;
        if let Some(cached) = cached.as_ref().filter(|cached| Instant::now() < cached.refresh_at) {
            return Ok(cached.token.clone());
        }
        *cached = None;
        let token = fetch().await?;
        cx.redactor().add(token.value.expose());
        let lifetime = token.lifetime.min(MAX_LIFETIME);
        let refresh_at = Instant::now() + lifetime.saturating_sub(REFRESH_MARGIN.min(lifetime / 2));
        *cached = Some(CachedToken { token: token.clone(), refresh_at });
        Ok(token)
    }

    /// Drops `refused`, which the API did not accept, unless it has been replaced meanwhile.
    pub async fn forget(&self, refused: &Secret) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|cached| cached.token.value.expose() == refused.expose()) {
            *cached = None;
        }
    }

    /// Sends a request with the cached token, and once more with a new one if the first is refused
    /// with 401: a refusal proves that nothing happened.
    ///
    /// It is not sent again if the new token equals the refused one. Returns the last response.
    ///
    /// # Errors
    /// Those of `fetch` and `send`.
    pub async fn with_token<E, R, S>(
        &self,
        cx: &ActionContext,
        fetch: impl Fn() -> R,
        send: impl Fn(Secret) -> S,
    ) -> Result<HttpResponse, E>
    where
        R: Future<Output = Result<AccessToken<D>, E>>,
        S: Future<Output = Result<HttpResponse, E>>,
    {
        let token = self.token(cx, &fetch).await?.value;
        let response = send(token.clone()).await?;
        if response.status != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.forget(&token).await;
        let fresh = self.token(cx, &fetch).await?.value;
        if fresh.expose() == token.expose() { Ok(response) } else { send(fresh).await }
    }
}

impl<D: Clone> Default for TokenCache<D> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    };

    use stargate_sdk::{ActionError, Secrets};

    use super::*;

    /// Issues `t1`, `t2`, …, and counts.
    #[derive(Default)]
    struct Issuer {
        issued: AtomicUsize,
    }

    impl Issuer {
        async fn issue(&self, lifetime: Duration) -> Result<AccessToken, ActionError> {
            tokio::task::yield_now().await;
            let number = self.issued.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(AccessToken { value: Secret::new(format!("token-{number}")), lifetime, details: () })
        }

        fn count(&self) -> usize {
            self.issued.load(Ordering::Relaxed)
        }
    }

    fn context() -> ActionContext {
        ActionContext::detached("test", Arc::new(Secrets::default()))
    }

    #[tokio::test]
    async fn callers_share_one_token() {
        let (cache, issuer, cx) = (TokenCache::new(), Issuer::default(), context());
        let hour = Duration::from_hours(1);
        let one = || cache.token(&cx, || issuer.issue(hour));
        let (first, second, third) = tokio::join!(one(), one(), one());
        for token in [first, second, third] {
            assert_eq!(token.expect("token").value.expose(), "token-1");
        }
        assert_eq!(issuer.count(), 1);
        assert_eq!(cx.redactor().redact("Bearer token-1"), "Bearer ***");
    }

    #[tokio::test]
    async fn a_token_without_remaining_lifetime_is_fetched_again() {
        let (cache, issuer, cx) = (TokenCache::new(), Issuer::default(), context());
        for number in 1..=3 {
            cache.token(&cx, || issuer.issue(Duration::ZERO)).await.expect("token");
            assert_eq!(issuer.count(), number);
        }
    }

    #[tokio::test]
    async fn only_the_token_that_was_refused_is_forgotten() {
        let (cache, issuer, cx) = (TokenCache::new(), Issuer::default(), context());
        let hour = Duration::from_hours(1);
        let first = cache.token(&cx, || issuer.issue(hour)).await.expect("token").value;
        cache.forget(&first).await;
        cache.token(&cx, || issuer.issue(hour)).await.expect("token");
        cache.forget(&first).await;
        cache.token(&cx, || issuer.issue(hour)).await.expect("token");
        assert_eq!(issuer.count(), 2);
    }

    async fn sent(accepted: &str) -> (StatusCode, Vec<String>) {
        let (cache, issuer, cx) = (TokenCache::new(), Issuer::default(), context());
        let tokens = StdMutex::new(Vec::new());
        let send = |token: Secret| {
            tokens.lock().expect("no panic").push(token.expose().to_owned());
            let status = if token.expose() == accepted { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            std::future::ready(Ok(HttpResponse { status, headers: http::HeaderMap::new(), body: Vec::new() }))
        };
        let fetch = || issuer.issue(Duration::from_hours(1));
        let response = cache.with_token::<ActionError, _, _>(&cx, fetch, send).await.expect("response");
        (response.status, tokens.into_inner().expect("no panic"))
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_once() {
        assert_eq!(sent("token-1").await, (StatusCode::OK, vec!["token-1".to_owned()]));
        assert_eq!(sent("token-2").await, (StatusCode::OK, vec!["token-1".to_owned(), "token-2".to_owned()]));
        let refused = (StatusCode::UNAUTHORIZED, vec!["token-1".to_owned(), "token-2".to_owned()]);
        assert_eq!(sent("another").await, refused);
    }
}
