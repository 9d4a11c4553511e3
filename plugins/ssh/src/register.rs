use std::sync::Arc;

use stargate_sdk::{Ensure, Registry};

use crate::{
    SshSettings, SshSettingsError,
    actions::{
        BinaryEnsure, CertificateRead, CloudInitWait, DirectoryEnsure, FileEnsure, FileRemove, ForwardFilterCheck,
        HostPreflight, HostReachable, KubeletPreflight, LinkEnsure, MssClampEnsure, NetworkInspect, PackageEnsure,
        ProgramRun, RoutesEnsure, SysctlEnsure, TailscaleConnection, TailscaleIdentity, TailscalePreferences,
        TailscaleRoutesInForce, UnitEnsure,
    },
    checks::{SshClientCheck, SshConfigCheck},
    client::ConnectionPool,
};

/// Adds the `ssh.*` actions and checks. Neither connects to a host nor accesses a file.
///
/// # Errors
/// If a path of the settings cannot be used with ssh; nothing has been added then.
pub fn register(registry: &mut Registry, settings: SshSettings) -> Result<(), SshSettingsError> {
    let settings = settings.checked()?;
    registry.add_check(SshClientCheck);
    registry.add_check(SshConfigCheck { file: settings.config.clone() });
    let pool = Arc::new(ConnectionPool::new(settings));
    registry.add(HostReachable::new(Arc::clone(&pool)));
    registry.add(HostPreflight::new(Arc::clone(&pool)));
    registry.add(KubeletPreflight::new(Arc::clone(&pool)));
    registry.add(ForwardFilterCheck::new(Arc::clone(&pool)));
    registry.add(NetworkInspect::new(Arc::clone(&pool)));
    registry.add(CertificateRead::new(Arc::clone(&pool)));
    registry.add(CloudInitWait::new(Arc::clone(&pool)));
    registry.add(Ensure(SysctlEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(RoutesEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(MssClampEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(DirectoryEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(FileEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(FileRemove::new(Arc::clone(&pool))));
    registry.add(Ensure(LinkEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(PackageEnsure::new(Arc::clone(&pool))));
    registry.add(ProgramRun::new(Arc::clone(&pool)));
    registry.add(Ensure(BinaryEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(UnitEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(TailscaleConnection::new(Arc::clone(&pool))));
    registry.add(TailscaleIdentity::new(Arc::clone(&pool)));
    registry.add(Ensure(TailscalePreferences::new(Arc::clone(&pool))));
    registry.add(TailscaleRoutesInForce::new(pool));
    Ok(())
}
