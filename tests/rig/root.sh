#!/bin/bash
# Makes the disk that every machine shares read-only: Debian 13 with systemd, sshd, cloud-init, tailscale, and what a Kubernetes node
# needs of Debian's packages. 2 minutes; nothing to do when it is there. Debian 12's systemd-networkd fails on recent kernels ("Numerical result out of range").
. "$(dirname "$0")/lib.sh"
SUITE=trixie
PACKAGES=systemd,systemd-sysv,dbus,openssh-server,iproute2,iputils-ping,ca-certificates,nftables,iptables,procps,kmod,sudo,curl
# debootstrap alone leaves cloud-init unconfigured: apt installs it, and the rest without what they recommend.
EXTRA="cloud-init jq conntrack socat ethtool containerd runc containernetworking-plugins"
need debootstrap=debootstrap systemd-nspawn=systemd-container ip=iproute2 nft=nftables iptables=iptables ping=iputils-ping \
  ssh=openssh-client sysctl=procps python3=python3 jq=jq curl=curl
disk="$SUITE $PACKAGES $EXTRA" dress=$(fingerprint "$0" "$STAMPS"/{tailscale,image}) agnhost=$(cat "$STAMPS/agnhost" 2>/dev/null || true)
built disk "$disk" && built dress "$dress $agnhost" && exit
for machine in "$RUN"/machine-*.pid; do [ -e "$machine" ] && { echo "machines run on this disk: down.sh first" >&2; exit 1; }; done

# The way to the packages is this machine's.
debian() {
  rm -rf "$ROOT"
  debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$ROOT" >"$LOGS/debootstrap.log" 2>&1
  cp -n /etc/apt/apt.conf.d/* "$ROOT/etc/apt/apt.conf.d/" 2>/dev/null || true
  cp --remove-destination -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
  chroot "$ROOT" env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends $EXTRA" \
    >"$LOGS/root-packages.log" 2>&1
}
# What an image has not: an identity, host keys, timers that reach for the internet.
anonymous() {
  chroot "$ROOT" systemctl disable -q containerd apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer >/dev/null 2>&1 || true
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
# What a container under systemd-nspawn lacks for a kubelet of its own: cgroup controllers that may be written, and the right to
# lower a process's OOM score, without which runc fails ("can't get final child's PID from pipe"). A host that has cgroup v1 only
# must say so to kubelet, as any such host: /etc/default/kubelet.
node() {
  cat > "$ROOT/etc/systemd/system/rig-cgroups.service" <<'U'
[Unit]
Before=containerd.service kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for c in /sys/fs/cgroup/*; do mount -o remount,bind,rw "$c" 2>/dev/null || true; done; mount --make-rshared /'
U
  mkdir -p "$ROOT/etc/systemd/system/multi-user.target.wants" "$ROOT/etc/systemd/system/containerd.service.wants" "$ROOT/usr/local/sbin"
  ln -sf ../rig-cgroups.service "$ROOT/etc/systemd/system/multi-user.target.wants/"
  cat > "$ROOT/usr/local/sbin/runc" <<'R'
#!/bin/sh
# The host of this container may not lower OOM scores.
bundle=; last=
for word in "$@"; do [ "$last" = --bundle ] && bundle=$word; last=$word; done
[ -z "$bundle" ] || sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$bundle/config.json"
exec /usr/sbin/runc "$@"
R
  chmod 755 "$ROOT/usr/local/sbin/runc"
  # All machines share the host's disk, which may well be fuller than a kubelet likes.
  echo 'KUBELET_EXTRA_ARGS=--fail-cgroupv1=false --eviction-hard=nodefs.available<1%,imagefs.available<1%' > "$ROOT/etc/default/kubelet"
}
# The images that a registry would have, there once containerd runs: the rig's own, and the same as the pause image.
images() {
  mkdir -p "$ROOT/usr/share/rig"
  cp "$BIN/echo.tar" "$ROOT/usr/share/rig/"
  # A rig without Kubernetes has not built it.
  [ ! -e "$BIN/agnhost.tar" ] || cp "$BIN/agnhost.tar" "$ROOT/usr/share/rig/"
  cat > "$ROOT/etc/systemd/system/rig-images.service" <<'U'
[Unit]
After=containerd.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ctr --namespace k8s.io images import /usr/share/rig/echo.tar
ExecStart=-/usr/bin/ctr --namespace k8s.io images import /usr/share/rig/agnhost.tar
U
  ln -sf ../rig-images.service "$ROOT/etc/systemd/system/containerd.service.wants/"
}

built disk "$disk" || { debian; stamp disk "$disk"; }
anonymous; tailscale; container; node; images
stamp dress "$dress $agnhost"
