use stargate_sdk::ActionError;
use x509_parser::pem::Pem;

/// Checks the certificates that a kubelet will verify the API server at `server` with.
///
/// # Errors
/// `Permanent` if there are none, if one is not a certificate, or if none is valid at present.
pub(crate) fn check_authority(server: &str, pem: &str) -> Result<(), ActionError> {
    let error = |reason: String| {
        ActionError::permanent(format!("certificate authority of {server} in the kubeconfig: {reason}")).with_hint(
            "give a kubeconfig with `certificate-authority-data`, as `az aks get-credentials` writes it: a kubelet verifies \
             the API server with it",
        )
    };
    let mut count = 0;
    let mut is_valid = false;
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        count += 1;
        let block = block.map_err(|e| error(format!("block {count} is not PEM: {e}")))?;
        let certificate = block.parse_x509().map_err(|e| error(format!("block {count} is not a certificate: {e}")))?;
        is_valid |= certificate.validity().is_valid();
    }
    match (count, is_valid) {
        (0, _) => Err(error("it is empty".to_owned())),
        (_, false) => Err(error("no certificate is valid at present".to_owned())),
        (_, true) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(is_valid: bool) -> String {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after =
            if is_valid { rcgen::date_time_ymd(2120, 1, 1) } else { rcgen::date_time_ymd(2020, 1, 2) };
        parameters.self_signed(&rcgen::KeyPair::generate().expect("key")).expect("certificate").pem()
    }

    #[test]
    fn an_authority_is_a_valid_certificate() {
        let valid = authority(true);
        check_authority("https://api", &valid).expect("valid");
        check_authority("https://api", &[authority(false), valid.clone()].concat()).expect("one is valid");
        let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let refused = [
            ("", "it is empty"),
            (&authority(false), "no certificate is valid"),
            (broken, "block 1 is not a certificate"),
            (&[&valid, broken].concat(), "block 2 is not a certificate"),
        ];
        for (pem, reason) in refused {
            let error = check_authority("https://api", pem).expect_err(reason);
            assert!(error.message.contains("https://api") && error.message.contains(reason), "{error}");
        }
    }
}
