//! Mirror of software that machines install: kubelets of a few versions, by the paths of
//! <https://dl.k8s.io/release>.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Versions of the mirror: the one of the scenario's cluster, older ones, and one that is too new
/// for it.
const VERSIONS: [&str; 5] = ["v1.29.9", "v1.32.9", "v1.33.4", "v1.33.5", "v1.34.1"];
/// Path under which the mirror is served.
const ROOT: &str = "/_mirror/";
/// URL of the original.
const ORIGIN: &str = "https://dl.k8s.io/release/";

/// Returns the routes of the mirror:
///
/// - `GET /_mirror/index.json`: checksums by path.
/// - `GET /_mirror/kubernetes/VERSION/bin/linux/amd64/kubelet`, and the same with `.sha256`.
pub(crate) fn router() -> Router {
    Router::new().route("/_mirror/{*path}", get(serve))
}

async fn serve(Path(path): Path<String>) -> Response {
    if path == "index.json" {
        return Json(index()).into_response();
    }
    file(&path).map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

/// Returns the content of a URL of the mirror or of its original: text, or the status 404. `None`
/// for other URLs.
pub(crate) fn fetch(url: &str) -> Option<Result<String, u16>> {
    if let Some(path) = url.strip_prefix(ORIGIN) {
        return Some(file(&format!("kubernetes/{path}")).ok_or(404));
    }
    let (_, rest) = url.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let on_loopback = host.starts_with("127.0.0.1:") || host.starts_with("localhost:");
    let path = path.strip_prefix(ROOT).filter(|_| on_loopback)?;
    Some(file(path).ok_or(404))
}

fn file(path: &str) -> Option<String> {
    let version = path.strip_prefix("kubernetes/")?;
    let (version, name) = version.split_once("/bin/linux/amd64/")?;
    let version = VERSIONS.iter().find(|known| **known == version)?;
    match name {
        "kubelet" => Some(kubelet(version)),
        "kubelet.sha256" => Some(checksum(&kubelet(version))),
        _ => None,
    }
}

/// Returns a script that prints its version and that simulated machines run as a kubelet.
fn kubelet(version: &str) -> String {
    format!(
        "#!/bin/sh\n# kubelet of the simulated world, {version}\n\
         [ \"$1\" = --version ] && echo \"Kubernetes {version}\" && exit 0\n\
         echo 'this kubelet runs as a unit of a simulated machine only' >&2\nexit 1\n"
    )
}

fn checksum(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn index() -> Value {
    let entry = |version: &&str| {
        let path = format!("kubernetes/{version}/bin/linux/amd64/kubelet");
        (path, Value::from(checksum(&kubelet(version))))
    };
    VERSIONS.iter().map(entry).collect::<Map<String, Value>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_of_what_is_served() {
        let url = "http://127.0.0.1:80/_mirror/kubernetes/v1.33.5/bin/linux/amd64/kubelet";
        let served = fetch(url).expect("of the mirror").expect("it is there");
        assert_eq!(index()["kubernetes/v1.33.5/bin/linux/amd64/kubelet"], checksum(&served));
        assert_eq!(crate::host::kubelet_version(&served), Some("v1.33.5"));
        assert_eq!(fetch(&url.replace("v1.33.5", "v0.1.0")), Some(Err(404)));
        assert_eq!(fetch("https://example.com/_mirror/index.json"), None);
    }
}
