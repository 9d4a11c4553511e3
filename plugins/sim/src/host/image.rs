use std::collections::BTreeMap;

use super::state::{Files, Kind, Node, parent, unit_name, wants};

/// Package that the simulated repositories offer: name, version, programs and units.
pub(super) struct Package {
    /// Name of the Debian package.
    pub(super) name: &'static str,
    /// Version in Debian's format.
    pub(super) version: &'static str,
    programs: &'static [&'static str],
    units: &'static [&'static str],
    /// True if the package is part of every image.
    base: bool,
    /// Names of the packages that are installed together with it, as far as they matter.
    pub(super) depends: &'static [&'static str],
    /// Path of the file that makes the package known to apt.
    ///
    /// It is the list of the package's own repository; `None` for packages of Debian.
    pub(super) source: Option<&'static str>,
}

/// Path of the apt source list for Tailscale's repository.
pub(super) const TAILSCALE_LIST: &str = "/etc/apt/sources.list.d/tailscale.list";

/// Defines a package that is part of every image.
const fn base(
    name: &'static str,
    version: &'static str,
    programs: &'static [&'static str],
    units: &'static [&'static str],
) -> Package {
    Package { name, version, programs, units, base: true, depends: &[], source: None }
}

/// Defines a package that must be installed.
const fn extra(
    name: &'static str,
    version: &'static str,
    programs: &'static [&'static str],
    units: &'static [&'static str],
) -> Package {
    Package { name, version, programs, units, base: false, depends: &[], source: None }
}

/// Packages of Debian 13 and of the additional repositories, as far as the simulation needs them.
pub(super) const PACKAGES: &[Package] = &[
    base("apt", "3.0.3", &["/usr/bin/apt-get", "/usr/bin/apt"], &[]),
    base("ca-certificates", "20250419", &[], &[]),
    base("cloud-init", "25.1.4-1", &["/usr/bin/cloud-init"], &[]),
    base(
        "coreutils",
        "9.7-3",
        &[
            "/usr/bin/[",
            "/usr/bin/basename",
            "/usr/bin/cat",
            "/usr/bin/chgrp",
            "/usr/bin/chmod",
            "/usr/bin/chown",
            "/usr/bin/cp",
            "/usr/bin/cut",
            "/usr/bin/date",
            "/usr/bin/dd",
            "/usr/bin/df",
            "/usr/bin/dirname",
            "/usr/bin/echo",
            "/usr/bin/env",
            "/usr/bin/false",
            "/usr/bin/head",
            "/usr/bin/id",
            "/usr/bin/install",
            "/usr/bin/ln",
            "/usr/bin/ls",
            "/usr/bin/mkdir",
            "/usr/bin/mktemp",
            "/usr/bin/mv",
            "/usr/bin/nproc",
            "/usr/bin/printf",
            "/usr/bin/pwd",
            "/usr/bin/base64",
            "/usr/bin/readlink",
            "/usr/bin/rm",
            "/usr/bin/rmdir",
            "/usr/bin/sha256sum",
            "/usr/bin/sleep",
            "/usr/bin/sort",
            "/usr/bin/stat",
            "/usr/bin/sync",
            "/usr/bin/tail",
            "/usr/bin/tee",
            "/usr/bin/test",
            "/usr/bin/timeout",
            "/usr/bin/touch",
            "/usr/bin/tr",
            "/usr/bin/true",
            "/usr/bin/uname",
            "/usr/bin/wc",
            "/usr/bin/whoami",
        ],
        &[],
    ),
    base("curl", "8.14.1-2", &["/usr/bin/curl"], &[]),
    base("dash", "0.5.12-12", &["/usr/bin/sh", "/usr/bin/dash"], &[]),
    base("bash", "5.2.37-2+b5", &["/usr/bin/bash"], &[]),
    base("dpkg", "1.22.21", &["/usr/bin/dpkg-query", "/usr/bin/dpkg"], &[]),
    base("grep", "3.11-4", &["/usr/bin/grep"], &[]),
    base("hostname", "3.25", &["/usr/bin/hostname"], &[]),
    base("iproute2", "6.15.0-1", &["/usr/bin/ip", "/usr/sbin/ip"], &[]),
    base("nftables", "1.1.3-1", &["/usr/sbin/nft"], &["nftables"]),
    base("openssl", "3.5.1-1+deb13u1", &["/usr/bin/openssl"], &[]),
    base("openssh-server", "1:10.0p1-7", &["/usr/sbin/sshd"], &["ssh"]),
    base("procps", "2:4.0.4-9", &["/usr/sbin/sysctl"], &[]),
    base("sudo", "1.9.16p2-3", &["/usr/bin/sudo"], &[]),
    base(
        "systemd",
        "257.8-1~deb13u2",
        &[
            "/usr/bin/systemctl",
            "/usr/bin/networkctl",
            "/usr/sbin/reboot",
            "/usr/sbin/shutdown",
            "/usr/bin/hostnamectl",
            "/usr/bin/journalctl",
            "/usr/bin/timedatectl",
        ],
        &["systemd-networkd", "systemd-sysctl"],
    ),
    extra("containerd", "1.7.24~ds1-6+deb13u1", &["/usr/bin/containerd"], &["containerd"]),
    extra("runc", "1.1.15+ds1-2+b4", &["/usr/sbin/runc"], &[]),
    extra(
        "containernetworking-plugins",
        "1.1.1+ds1-3+b15",
        &[
            "/usr/lib/cni/bandwidth",
            "/usr/lib/cni/bridge",
            "/usr/lib/cni/dhcp",
            "/usr/lib/cni/firewall",
            "/usr/lib/cni/host-device",
            "/usr/lib/cni/host-local",
            "/usr/lib/cni/ipvlan",
            "/usr/lib/cni/loopback",
            "/usr/lib/cni/macvlan",
            "/usr/lib/cni/portmap",
            "/usr/lib/cni/ptp",
            "/usr/lib/cni/static",
            "/usr/lib/cni/tuning",
            "/usr/lib/cni/vlan",
        ],
        &[],
    ),
    extra("conntrack", "1:1.4.8-2", &["/usr/sbin/conntrack"], &[]),
    extra("ethtool", "1:6.14.2-1", &["/usr/sbin/ethtool"], &[]),
    extra("iptables", "1.8.11-2", &["/usr/sbin/iptables"], &[]),
    extra("jq", "1.7.1-6", &[], &[]),
    extra("socat", "1.8.0.3-1", &["/usr/bin/socat"], &[]),
    Package {
        name: "tailscale",
        version: "1.100.0",
        programs: &["/usr/bin/tailscale", "/usr/sbin/tailscaled"],
        units: &["tailscaled"],
        base: false,
        depends: &["iptables"],
        source: Some(TAILSCALE_LIST),
    },
    Package {
        name: "tailscale-archive-keyring",
        version: "1.35.181",
        programs: &[],
        units: &[],
        base: false,
        depends: &[],
        source: Some(TAILSCALE_LIST),
    },
];

/// Directories that the image contains.
const DIRECTORIES: &[&str] = &[
    "/",
    "/boot",
    "/dev",
    "/etc/apt/sources.list.d",
    "/etc/ssh",
    "/etc/sudoers.d",
    "/etc/sysctl.d",
    "/etc/systemd/network",
    "/etc/systemd/system/multi-user.target.wants",
    "/home",
    "/mnt",
    "/opt",
    "/proc/sys",
    "/run",
    "/srv",
    "/sys",
    "/tmp",
    "/usr/lib/systemd/system",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/share/keyrings",
    "/var/cache",
    "/var/lib/cloud",
    "/var/log",
];

/// Content of `/etc/os-release`.
const OS_RELEASE: &str = r#"PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
NAME="Debian GNU/Linux"
VERSION_ID="13"
VERSION="13 (trixie)"
VERSION_CODENAME=trixie
DEBIAN_VERSION_FULL=13.8
ID=debian
HOME_URL="https://www.debian.org/"
SUPPORT_URL="https://www.debian.org/support"
BUG_REPORT_URL="https://bugs.debian.org/"
"#;

/// Section `Service` of Debian's unit that loads the packet filter at boot, if it is enabled.
const NFTABLES_SERVICE: &str = "Type=oneshot\nRemainAfterExit=yes\nExecStart=/usr/sbin/nft -f /etc/nftables.conf";

/// Content of Debian's `/etc/nftables.conf`.
const NFTABLES_CONF: &str = r"#!/usr/sbin/nft -f

flush ruleset

table inet filter {
	chain input {
		type filter hook input priority filter;
	}
	chain forward {
		type filter hook forward priority filter;
	}
	chain output {
		type filter hook output priority filter;
	}
}
";

/// Configuration file of the resolver. On Debian's cloud images it is a link to the stub of
/// systemd-resolved.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Content of `/etc/group` before the first account is created.
const GROUPS: &str =
    "root:x:0:\nadm:x:4:\ntty:x:5:\nsudo:x:27:\ndip:x:30:\nvideo:x:44:\nplugdev:x:46:\nnogroup:x:65534:\n";

/// Returns the disk of the image and the versions of its packages by name.
pub(super) fn disk(hostname: &str) -> (Files, BTreeMap<String, String>) {
    let mut files = Files::default();
    for directory in DIRECTORIES {
        files.make_directories(directory);
    }
    files.nodes.insert("/root".to_owned(), Node::of_root(Kind::Directory, 0o700));
    set_mode(&mut files, "/tmp", 0o1777);
    // Debian merges `/bin`, `/lib` and `/sbin` into `/usr`.
    for (link, target) in [("/bin", "usr/bin"), ("/lib", "usr/lib"), ("/sbin", "usr/sbin")] {
        files.nodes.insert(link.to_owned(), Node::of_root(Kind::Link(target.to_owned()), 0o777));
    }
    files.nodes.insert("/dev/null".to_owned(), Node::of_root(Kind::File("".into()), 0o666));
    files.put("/etc/hostname", 0o644, format!("{hostname}\n"));
    files.put("/etc/hosts", 0o644, format!("127.0.0.1 localhost\n127.0.1.1 {hostname}\n"));
    files.put("/etc/os-release", 0o644, OS_RELEASE);
    files.put("/etc/nftables.conf", 0o755, NFTABLES_CONF);
    files.put("/etc/group", 0o644, GROUPS);
    files.nodes.insert(
        RESOLV_CONF.to_owned(),
        Node::of_root(Kind::Link("../run/systemd/resolve/stub-resolv.conf".to_owned()), 0o777),
    );
    write_resolver_files(&mut files);
    files.put(
        "/etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    );
    let mut packages = BTreeMap::new();
    for package in PACKAGES.iter().filter(|package| package.base) {
        unpack(&mut files, &mut packages, package);
    }
    for unit in ["ssh", "systemd-networkd"] {
        enable(&mut files, unit);
    }
    (files, packages)
}

/// Writes the files of systemd-resolved, which it writes at each boot: its own stub, and the name
/// server of Azure's DHCP.
pub(super) fn write_resolver_files(files: &mut Files) {
    files.make_directories("/run/systemd/resolve");
    files.put("/run/systemd/resolve/stub-resolv.conf", 0o644, "nameserver 127.0.0.53\noptions edns0 trust-ad\n");
    files.put("/run/systemd/resolve/resolv.conf", 0o644, "nameserver 168.63.129.16\n");
}

/// Programs that each simulated container has, independent of its image name: busybox. It also has
/// curl and agnhost, the test program of the Kubernetes project.
const CONTAINER_PROGRAMS: &str = "[ base64 basename cat chmod chown cp cut date dirname echo env false grep head hostname id ln ls \
    mkdir mktemp mv nproc printf pwd readlink rm rmdir sh sha256sum sleep sort stat sync tail tee test timeout touch tr true uname \
    wc wget whoami";

/// Returns the disk of a container with busybox.
pub(super) fn busybox(hostname: &str, address: &str) -> Files {
    let mut files = Files::default();
    for directory in ["/", "/bin", "/dev", "/etc", "/root", "/tmp", "/usr/bin", "/var/run"] {
        files.make_directories(directory);
    }
    set_mode(&mut files, "/tmp", 0o1777);
    for program in CONTAINER_PROGRAMS.split_whitespace() {
        files.put_program(&format!("/bin/{program}"));
    }
    files.put_program("/usr/bin/curl");
    files.put_program("/agnhost");
    files.nodes.insert("/dev/null".to_owned(), Node::of_root(Kind::File("".into()), 0o666));
    files.put("/etc/hostname", 0o644, format!("{hostname}\n"));
    files.put("/etc/hosts", 0o644, format!("127.0.0.1\tlocalhost\n{address}\t{hostname}\n"));
    files.put("/etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n");
    files.put("/etc/group", 0o644, GROUPS);
    files
}

/// Installs the files of a package and records its version.
pub(super) fn unpack(files: &mut Files, packages: &mut BTreeMap<String, String>, package: &Package) {
    for program in package.programs {
        files.put_program(program);
    }
    for unit in package.units {
        let service = match *unit {
            "nftables" => NFTABLES_SERVICE.to_owned(),
            unit => format!("Type=notify\nExecStart=/usr/sbin/{unit}"),
        };
        let text =
            format!("[Unit]\nDescription={unit}\n\n[Service]\n{service}\n\n[Install]\nWantedBy=multi-user.target\n");
        files.put(&format!("/usr/lib/systemd/system/{unit}.service"), 0o644, text);
    }
    packages.insert(package.name.to_owned(), package.version.to_owned());
}

/// Returns the names of the units that a package contains.
pub(super) fn units(package: &Package) -> &'static [&'static str] {
    package.units
}

/// Enables a unit, so that it starts at boot.
pub(super) fn enable(files: &mut Files, unit: &str) {
    let target = format!("/usr/lib/systemd/system/{}", unit_name(unit));
    files.make_directories(parent(&wants(unit)));
    files.nodes.insert(wants(unit), Node::of_root(Kind::Link(target), 0o777));
}

/// Sets the permission bits of an existing path.
fn set_mode(files: &mut Files, path: &str, mode: u32) {
    if let Some(node) = files.nodes.get_mut(path) {
        node.mode = mode;
    }
}
