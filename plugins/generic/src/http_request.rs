use std::{collections::BTreeMap, net::IpAddr};

use reqwest::{Client, Method, RequestBuilder, header::HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::{CallEffect, HttpResponse, SecretText, exchange, http_client, within};
use stargate_sdk::{
    Action, ActionContext, ActionError, FindResult, Nature, Preview, Recovery, RequiredPermissions, SecretRef,
};
use url::{Host, Url};

/// Maximum size of a response's body, in bytes: body and parsed JSON fit into a step's output.
const MAX_BODY_BYTES: usize = 256 << 10;
/// Maximum length of a part of the body in a message.
const MAX_EXCERPT_CHARS: usize = 300;

/// Method of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum RequestMethod {
    /// Reads.
    #[default]
    Get,
    /// Reads the headers only.
    Head,
    /// Creates something, or does what the server says.
    Post,
    /// Replaces an object.
    Put,
    /// Changes a part of an object.
    Patch,
    /// Deletes an object.
    Delete,
}

/// The request to send.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpRequestInput {
    /// Method of the request.
    #[serde(default)]
    pub method: RequestMethod,
    /// URL, with `https` or `http`. It must not contain a secret: it is shown.
    pub url: String,
    /// Headers. `{{name}}` in a value is the placeholder of a secret.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body: text as it is, or any other value as JSON. `{{name}}` in a text is the placeholder of
    /// a secret.
    #[serde(default)]
    pub body: Option<Value>,
    /// Secrets by the name of their placeholder. They are sent with `https`, or to this machine.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRef>,
    /// What the response must be; otherwise the step fails.
    #[serde(default)]
    pub expect: ExpectedResponse,
    /// True if the request can be sent twice with the effect of once. Requests with `GET`, `HEAD`,
    /// `PUT` and `DELETE` can in any case (RFC 9110, section 9.2.2).
    #[serde(default)]
    pub idempotent: bool,
}

/// Condition on a response.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedResponse {
    /// Statuses that count as success; those from 200 to 299 if it is empty.
    #[serde(default)]
    pub status: Vec<u16>,
    /// Text that the body must contain.
    #[serde(default)]
    pub contains: Option<String>,
}

/// The response.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HttpRequestOutput {
    /// Status of the response.
    pub status: u16,
    /// Headers by their name in lower case, without cookies.
    pub headers: BTreeMap<String, String>,
    /// Body as text.
    pub body: String,
    /// Body as a value, if it is JSON; otherwise `null`.
    pub json: Value,
}

/// Action `http.request`: sends one HTTP request and checks the response.
///
/// Redirects are not followed. A request that may have been received, and that must not be sent
/// twice, leaves the step in doubt.
pub(crate) struct HttpRequest {
    client: Client,
}

impl HttpRequest {
    /// # Errors
    /// If TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        Ok(Self { client: http_client(Vec::new())? })
    }

    async fn send(&self, cx: &ActionContext, input: &HttpRequestInput) -> Result<HttpRequestOutput, ActionError> {
        let url = parse_url(input)?;
        let call = format!("{} {}", input.method.as_http(), shown(&url));
        let request = self.request(cx, input, url).await?;
        let effect = CallEffect::of(&input.method.as_http());
        let sent = async { exchange(effect.permit(cx, &call).await?, &call, request, MAX_BODY_BYTES).await };
        let response = within(cx, sent).await.map_err(|stopped| stopped.into_error(effect, &call))??;
        if effect == CallEffect::MayHaveChanged && response.status.is_success() {
            cx.changed(&call);
        }
        check(input, &response, &call, effect).map_err(|error| redacted(cx, error))?;
        Ok(output(cx, &response))
    }

    async fn request(
        &self,
        cx: &ActionContext,
        input: &HttpRequestInput,
        url: Url,
    ) -> Result<RequestBuilder, ActionError> {
        let fill = async |text: &str| {
            let used = input.secrets.iter().filter(|(name, _)| text.contains(&stargate_client::placeholder(name)));
            let used = used.map(|(name, reference)| (name.clone(), reference.clone())).collect();
            SecretText::parse(text, &used)?.fill(cx).await
        };
        let mut request = self.client.request(input.method.as_http(), url);
        for (name, value) in &input.headers {
            let name = header_name(name)?;
            request = request.header(name, fill(value).await?);
        }
        if !input.method.as_http().is_safe() {
            request = request.header("idempotency-key", cx.idempotency_key().to_string());
        }
        Ok(match &input.body {
            None => request,
            Some(Value::String(text)) => request.body(fill(text).await?),
            Some(value) => request.header("content-type", "application/json").body(fill(&value.to_string()).await?),
        })
    }
}

impl RequiredPermissions for HttpRequest {}

impl Action for HttpRequest {
    type Input = HttpRequestInput;
    type Output = HttpRequestOutput;
    const NAME: &'static str = "http.request";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Once;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = "Sends one HTTP request, without redirects, and checks the response.";

    async fn run(&self, cx: &ActionContext, input: &HttpRequestInput) -> Result<HttpRequestOutput, ActionError> {
        self.send(cx, input).await
    }

    async fn find(
        &self,
        _: &ActionContext,
        input: &HttpRequestInput,
    ) -> Result<FindResult<HttpRequestOutput>, ActionError> {
        if input.idempotent || input.method.as_http().is_idempotent() {
            return Ok(FindResult::Absent);
        }
        let call = format!("{} {}", input.method.as_http(), shown(&parse_url(input)?));
        Ok(FindResult::Unclear(format!("{call} may have been received, and is not known to be idempotent")))
    }

    async fn preview(&self, cx: &ActionContext, input: &HttpRequestInput) -> Result<Preview, ActionError> {
        check_secrets(input, &parse_url(input)?)?;
        if input.method.as_http().is_safe() {
            Preview::unchanged(&self.send(cx, input).await?)
        } else {
            Ok(Preview::Opaque)
        }
    }
}

impl RequestMethod {
    fn as_http(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// Parses the URL of a request, and checks that its secrets can be sent there.
fn parse_url(input: &HttpRequestInput) -> Result<Url, ActionError> {
    let refused = |reason: String| ActionError::permanent(format!("the URL cannot be used: {reason}"));
    let url: Url = input.url.parse().map_err(|error: url::ParseError| refused(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(format!("its scheme is {:?}, and must be https or http", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let error = refused("it contains a user or a password".into());
        return Err(error.with_hint("send it as a header: `Authorization: Basic {{credentials}}` with `secrets`"));
    }
    check_secrets(input, &url)?;
    Ok(url)
}

/// Checks that each secret has a placeholder, and that the connection hides them.
fn check_secrets(input: &HttpRequestInput, url: &Url) -> Result<(), ActionError> {
    let body = input.body.as_ref().map(ToString::to_string).unwrap_or_default();
    for name in input.secrets.keys() {
        let placeholder = stargate_client::placeholder(name);
        if !body.contains(&placeholder) && !input.headers.values().any(|value| value.contains(&placeholder)) {
            let message = format!("neither a header nor the body has {placeholder} for the secret {name:?}");
            return Err(ActionError::permanent(message));
        }
    }
    if input.secrets.is_empty() || url.scheme() == "https" || is_this_machine(url) {
        return Ok(());
    }
    let message = format!("secrets are not sent to {} without encryption", shown(url));
    Err(ActionError::permanent(message).with_hint("use https"))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The URL without its query, which often contains signatures.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn header_name(name: &str) -> Result<HeaderName, ActionError> {
    name.parse().map_err(|_| ActionError::permanent(format!("{name:?} is not the name of a header")))
}

/// Checks a response against what is expected.
fn check(input: &HttpRequestInput, response: &HttpResponse, call: &str, effect: CallEffect) -> Result<(), ActionError> {
    let ExpectedResponse { status, contains } = &input.expect;
    let code = response.status.as_u16();
    let is_expected = if status.is_empty() { response.status.is_success() } else { status.contains(&code) };
    let body = String::from_utf8_lossy(&response.body);
    if !is_expected {
        let message = format!("{call}: {}{}", response.status, excerpt(&body));
        let error = ActionError::new(kind(response, effect), message).with_code(code.to_string());
        let hint = "redirects are not followed: name the URL that the response names";
        return Err(if response.status.is_redirection() { error.with_hint(hint) } else { error });
    }
    match contains {
        Some(text) if !body.contains(text.as_str()) => {
            let message = format!("{call}: the response does not contain {text:?}{}", excerpt(&body));
            Err(ActionError::permanent(message))
        }
        _ => Ok(()),
    }
}

/// Kind of the failure: a success that is not an expected one is permanent.
fn kind(response: &HttpResponse, effect: CallEffect) -> stargate_sdk::FailureKind {
    if response.status.is_success() {
        return stargate_sdk::FailureKind::Permanent;
    }
    response.failure_kind(effect, None)
}

/// The beginning of a body, as the end of a message.
fn excerpt(body: &str) -> String {
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = line.chars().take(MAX_EXCERPT_CHARS).collect();
    if shown.is_empty() { String::new() } else { format!(": {shown}") }
}

fn redacted(cx: &ActionContext, error: ActionError) -> ActionError {
    ActionError { message: cx.redactor().redact(&error.message), ..error }
}

/// The response as the output of the step. A secret in it is masked.
fn output(cx: &ActionContext, response: &HttpResponse) -> HttpRequestOutput {
    let body = cx.redactor().redact(&String::from_utf8_lossy(&response.body));
    let headers = response.headers.iter().filter(|(name, _)| name.as_str() != "set-cookie");
    let headers =
        headers.filter_map(|(name, value)| Some((name.to_string(), cx.redactor().redact(value.to_str().ok()?))));
    HttpRequestOutput {
        status: response.status.as_u16(),
        headers: headers.collect(),
        json: serde_json::from_str(&body).unwrap_or_default(),
        body,
    }
}

#[cfg(test)]
mod tests;
