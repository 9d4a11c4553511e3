use super::options::CommandOptions;
use super::systemctl::start_unit;
use crate::host::image::{self, PACKAGES, Package};
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::Machine;

/// Runs the command `apt-get [-y] [-q] update|install|remove PACKAGE[=VERSION]…`.
///
/// Requires root; otherwise it exits with 100, as the real command does. `upgrade`, `autoremove`
/// and `clean` succeed without a change, because each package has one version. Of the
/// dependencies only those between simulated packages that matter are resolved.
pub(super) fn apt(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "ot", &["option"]);
    let Some((verb, names)) = options.rest.split_first() else {
        return process.fail(io, 1, "E: Invalid operation");
    };
    if !process.actor.is_root() {
        let lock = if verb == "update" { "/var/lib/apt/lists/lock" } else { "/var/lib/dpkg/lock-frontend" };
        let message = format!(
            "E: Could not open lock file {lock} - open (13: Permission denied)\n\
             E: Unable to acquire the dpkg frontend lock ({lock}), are you root?"
        );
        return process.fail(io, 100, message);
    }
    match verb.as_str() {
        "update" => {
            process.print(io, "Hit:1 http://deb.debian.org/debian trixie InRelease\nReading package lists...\n")?;
            Ok(0)
        }
        "upgrade" | "dist-upgrade" | "autoremove" | "clean" => {
            process.print(io, "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n")?;
            Ok(0)
        }
        "install" => install(process, io, names),
        "remove" | "purge" => remove(process, io, names),
        _ => process.fail(io, 100, format!("E: Invalid operation {verb}")),
    }
}

/// Returns the package called `name`, if its repository is configured on the machine.
fn available(machine: &Machine, name: &str) -> Option<&'static Package> {
    let package = PACKAGES.iter().find(|package| package.name == name)?;
    package.source.is_none_or(|list| machine.files.get(list).is_some()).then_some(package)
}

/// Installs packages, enables and starts their units.
///
/// Every name is checked before the first package is installed. An installed package stays
/// unchanged and is not counted as a write.
fn install(process: &mut Process, io: &Io, names: &[String]) -> Exit {
    let (mut wanted, mut dependencies) = (Vec::new(), Vec::new());
    for word in names {
        let (name, version) =
            word.split_once('=').map_or((word.as_str(), None), |(name, version)| (name, Some(version)));
        let Some(package) = process.with(|place| available(place.machine, name))? else {
            return process.fail(io, 100, format!("E: Unable to locate package {name}"));
        };
        if let Some(version) = version.filter(|version| *version != package.version) {
            return process.fail(io, 100, format!("E: Version '{version}' for '{name}' was not found"));
        }
        let needed = |name: &&str| PACKAGES.iter().find(|package| package.name == *name);
        let missing = package.depends.iter().filter_map(needed);
        dependencies.extend(missing);
        wanted.push(package);
    }
    let mut installed = 0;
    let installed_before = process.with(|place| place.machine.packages.clone())?;
    dependencies.retain(|package: &&Package| {
        !installed_before.contains_key(package.name) && !names.iter().any(|name| name == package.name)
    });
    for package in dependencies.into_iter().chain(wanted) {
        if process.with(|place| place.machine.packages.contains_key(package.name))? {
            process.print(io, format!("{} is already the newest version ({}).\n", package.name, package.version))?;
            continue;
        }
        installed += 1;
        process
            .change("package", |place| {
                let machine = &mut *place.machine;
                image::unpack(&mut machine.files, &mut machine.packages, package);
                for unit in image::units(package) {
                    image::enable(&mut machine.files, unit);
                }
                machine.reload_units();
                Ok::<_, ()>(())
            })?
            .unwrap_or_default();
        process.print(io, format!("Setting up {} ({}) ...\n", package.name, package.version))?;
        // Debian starts a package's daemon when the package is installed.
        for unit in image::units(package) {
            start_unit(process, unit)?;
        }
    }
    process.print(io, format!("0 upgraded, {installed} newly installed, 0 to remove and 0 not upgraded.\n"))?;
    Ok(0)
}

/// Removes packages, with their units but not with their other files.
fn remove(process: &mut Process, io: &Io, names: &[String]) -> Exit {
    for name in names {
        let Some(package) = PACKAGES.iter().find(|package| package.name == name) else {
            return process.fail(io, 100, format!("E: Unable to locate package {name}"));
        };
        process
            .change("package", |place| {
                let machine = &mut *place.machine;
                machine.packages.remove(name);
                for unit in image::units(package) {
                    machine.set_unit(unit, "inactive", "dead", 0);
                    machine.files.nodes.remove(&format!("/usr/lib/systemd/system/{unit}.service"));
                }
                machine.reload_units();
                machine.report(place.tailnet);
                Ok::<_, ()>(())
            })?
            .unwrap_or_default();
        process.print(io, format!("Removing {name} ({}) ...\n", package.version))?;
    }
    Ok(0)
}

/// Runs the command `dpkg-query -W [-f FORMAT] PACKAGE…`.
///
/// Under the name `dpkg` it also answers `--print-architecture`, always with `amd64`.
pub(super) fn dpkg_query(process: &mut Process, io: &Io, program: &str, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "f", &["showformat"]);
    if program == "dpkg" && options.has("", "print-architecture") {
        process.print(io, "amd64\n")?;
        return Ok(0);
    }
    if !options.has("Ws", "show") {
        return process.fail(io, 2, format!("{program}: error: need an action option"));
    }
    let format = options.value('f', "showformat").unwrap_or("${Package}\\t${Version}\\n");
    let format = format.strip_prefix('=').unwrap_or(format).to_owned();
    let mut status = 0;
    for name in &options.rest {
        match process.with(|place| place.machine.packages.get(name).cloned())? {
            Some(version) => process.print(io, described(&format, name, &version))?,
            None => status = process.fail(io, 1, format!("dpkg-query: no packages found matching {name}"))?,
        }
    }
    Ok(status)
}

/// Replaces the fields and escapes of a `--showformat` text.
fn described(format: &str, name: &str, version: &str) -> String {
    let fields = [
        ("${Package}", name),
        ("${binary:Package}", name),
        ("${Version}", version),
        ("${db:Status-Abbrev}", "ii "),
        ("${Status}", "install ok installed"),
        ("${db:Status-Status}", "installed"),
        ("${Architecture}", "amd64"),
        ("\\n", "\n"),
        ("\\t", "\t"),
    ];
    fields.iter().fold(format.to_owned(), |text, (field, value)| text.replace(field, value))
}
