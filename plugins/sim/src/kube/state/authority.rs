use rcgen::{Issuer, KeyPair};

/// Certificate authority of a cluster.
pub(crate) struct Authority {
    /// Certificate of the authority, in PEM.
    pub(crate) certificate: String,
    /// Key and parameters that sign certificates.
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Creates an authority from its certificate and its signing key.
    pub(crate) fn new(certificate: String, issuer: Issuer<'static, KeyPair>) -> Self {
        Self { certificate, issuer }
    }
}

// The derived implementation would print the key.
impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}
