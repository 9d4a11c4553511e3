#!/bin/bash
# Makes the disk that every machine shares read-only: Debian 13 with systemd, sshd, cloud-init and tailscale. 2 minutes; nothing to
# do when it is there. Debian 12's systemd-networkd fails on recent kernels ("Numerical result out of range").
. "$(dirname "$0")/lib.sh"
SUITE=trixie
PACKAGES=systemd,systemd-sysv,dbus,openssh-server,iproute2,iputils-ping,ca-certificates,nftables,iptables,procps,kmod,sudo,curl
need debootstrap=debootstrap systemd-nspawn=systemd-container ip=iproute2 nft=nftables iptables=iptables ping=iputils-ping \
  ssh=openssh-client sysctl=procps python3=python3 jq=jq curl=curl
disk="$SUITE $PACKAGES" dress=$(fingerprint "$0" "$STAMPS/tailscale")
built disk "$disk" && built dress "$dress" && exit
for machine in "$RUN"/machine-*.pid; do [ -e "$machine" ] && { echo "machines run on this disk: down.sh first" >&2; exit 1; }; done

# debootstrap alone leaves cloud-init unconfigured: apt installs it. The way to the packages is this machine's.
debian() {
  rm -rf "$ROOT"
  debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$ROOT" >"$LOGS/debootstrap.log" 2>&1
  cp -n /etc/apt/apt.conf.d/* "$ROOT/etc/apt/apt.conf.d/" 2>/dev/null || true
  cp --remove-destination -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
  chroot "$ROOT" env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends cloud-init' \
    >"$LOGS/root-packages.log" 2>&1
}
# What an image has not: an identity, host keys, timers that reach for the internet.
anonymous() {
  chroot "$ROOT" systemctl disable -q apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer >/dev/null 2>&1 || true
  rm -f "$ROOT"/etc/ssh/ssh_host_*
  : > "$ROOT/etc/machine-id"; : > "$ROOT/etc/resolv.conf"
}
# The package as https://tailscale.com/install.sh leaves it, but not enabled. Without the variable it looks for its log server.
tailscale() {
  install -m755 "$BIN/tailscaled" "$ROOT/usr/sbin/tailscaled"
  install -m755 "$BIN/tailscale" "$ROOT/usr/bin/tailscale"
  install -m644 "$BIN/tailscaled.service" "$ROOT/lib/systemd/system/tailscaled.service"
  printf 'PORT=41641\nFLAGS=\nTS_NO_LOGS_NO_SUPPORT=true\n' > "$ROOT/etc/default/tailscaled"
}
# machine.sh writes the seed and the network. systemd-networkd waits for udev, which a container has not, while /sys is writable.
container() {
  printf 'datasource_list: [NoCloud, None]\nnetwork: {config: disabled}\n' > "$ROOT/etc/cloud/cloud.cfg.d/99-rig.cfg"
  cat > "$ROOT/etc/systemd/system/rig-sys.service" <<U
[Unit]
DefaultDependencies=no
Before=systemd-networkd.service

[Service]
Type=oneshot
ExecStart=/bin/mount -o remount,bind,ro /sys
U
  mkdir -p "$ROOT/etc/systemd/system/sysinit.target.wants"
  ln -sf ../rig-sys.service "$ROOT/etc/systemd/system/sysinit.target.wants/"
  chroot "$ROOT" systemctl enable -q systemd-networkd >/dev/null 2>&1
}

built disk "$disk" || { debian; stamp disk "$disk"; }
anonymous; tailscale; container
stamp dress "$dress"
