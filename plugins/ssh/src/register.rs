use std::sync::Arc;

use stargate_sdk::{Ensure, Registry};

use crate::{
    SettingsError, SshSettings,
    actions::{
        BinaryEnsure, CertificateRead, CloudInitWait, DirectoryEnsure, FileEnsure, FileRemove, HostPreflight,
        HostReachable, LinkEnsure, MssClampEnsure, PackageEnsure, RoutesEnsure, SysctlEnsure, TailscaleIdentity,
        TailscalePreferences, TailscaleRoutesInForce, UnitEnsure,
    },
    checks::{Client, Config},
    pool::Pool,
};

/// Adds the `ssh.*` actions and checks. Connects to nothing and touches no file; fails when a path cannot be used with ssh.
pub fn register(registry: &mut Registry, settings: SshSettings) -> Result<(), SettingsError> {
    let settings = settings.checked()?;
    registry.add_check(Client);
    registry.add_check(Config { file: settings.config.clone() });
    let pool = Arc::new(Pool::new(settings));
    registry.add(HostReachable::new(Arc::clone(&pool)));
    registry.add(HostPreflight::new(Arc::clone(&pool)));
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
    registry.add(Ensure(BinaryEnsure::new(Arc::clone(&pool))));
    registry.add(Ensure(UnitEnsure::new(Arc::clone(&pool))));
    registry.add(TailscaleIdentity::new(Arc::clone(&pool)));
    registry.add(Ensure(TailscalePreferences::new(Arc::clone(&pool))));
    registry.add(TailscaleRoutesInForce::new(pool));
    Ok(())
}
