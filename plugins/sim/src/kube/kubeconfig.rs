use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::control_plane::settle;
use super::seed;
use super::state::{Authority, Kube};
use crate::arm::ClusterAccess;

/// Prepares the cluster to be served at `url`, with the objects that every cluster has.
///
/// The tokens of a stored cluster remain valid.
pub(crate) fn open(kube: &mut Kube, url: &str, authority: Authority) {
    let now = Timestamp::now();
    kube.authority = Some(authority);
    url.clone_into(&mut kube.url);
    if kube.admin_token.is_empty() {
        kube.admin_token = random(32);
        kube.signing_key = random(32);
    }
    seed::cluster(kube, now);
    settle(kube, now);
}

/// Returns random bytes in hexadecimal.
fn random(bytes: usize) -> String {
    (0..bytes).fold(String::new(), |text, _| text + &format!("{:02x}", rand::random::<u8>()))
}

/// Returns the access of the administrator; `None` before the cluster is served.
pub(crate) fn admin_access(kube: &Kube) -> Option<ClusterAccess> {
    let authority = STANDARD.encode(&kube.authority.as_ref()?.certificate);
    Some(ClusterAccess { server: kube.url.clone(), authority, token: kube.admin_token.clone() })
}
