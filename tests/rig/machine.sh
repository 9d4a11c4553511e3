#!/bin/bash
# A Debian machine with its own systemd, disk and network: systemd-nspawn in the network namespace of its name.
#
# machine.sh create NAME SEED ADDRESS/LEN GATEWAY   its first boot, with cloud-init's NoCloud seed from the folder SEED
# machine.sh start NAME | stop NAME                 the same disk again
# machine.sh delete NAME
#
# Ready for SSH after 2 s, cloud-init done after 5 s.
. "$(dirname "$0")/lib.sh"
verb=${1:-} name=${2:-} disk=$MACHINES/${2:-}

create() {
  local seed=$1 address=$2 gateway=$3 upper=$disk/upper
  mkdir -p "$disk"/{upper,work,root,containerd,kubelet} "$upper/etc/systemd/network" "$upper/var/lib/cloud/seed"
  echo "$name" > "$upper/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" > "$upper/etc/hosts"       # or every sudo waits 20 s for DNS
  printf '[Match]\nName=eth0\n\n[Network]\nAddress=%s\nGateway=%s\n' "$address" "$gateway" > "$upper/etc/systemd/network/10-eth0.network"
  cp -r "$seed" "$upper/var/lib/cloud/seed/nocloud"
  start
}

# Without the seccomp filter and with a writable /proc/sys, as tailscaled, runc and kubelet need it; what kubelet and containerd keep is on
# a plain disk, because an overlay cannot lie on an overlay.
start() {
  running "machine-$name" && return
  mountpoint -q "$disk/root" || mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
  SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 background "machine-$name" systemd-nspawn --quiet --directory="$disk/root" \
    --machine="$name" --boot --network-namespace-path="/run/netns/$name" --register=no --keep-unit --capability=all \
    --bind=/dev/net/tun --bind=/dev/kmsg --bind="$disk/containerd:/var/lib/containerd" \
    --bind="$disk/kubelet:/var/lib/kubelet" --kill-signal=SIGRTMIN+3
}
# gone: whether nothing of it runs
gone() { ! running "machine-$name"; }
# As a cloud takes a machine away: its first process ends, and the kernel ends the others. systemd-nspawn's own end would leave them.
unpower() {
  local first; first=$(pgrep -P "$(cat "$RUN/machine-$name.pid" 2>/dev/null || echo 0)" | head -1)
  [ -z "$first" ] || kill -KILL "$first" 2>/dev/null || true
  wait_for 20 gone
  halt "machine-$name"
}
stop() {
  gone || kill -TERM "$(cat "$RUN/machine-$name.pid")"
  wait_for 20 gone || unpower
  rm -f "$RUN/machine-$name.pid"
}
delete() {
  gone || unpower
  mountpoint -q "$disk/root" && umount "$disk/root"
  rm -rf "$disk"
}

case $verb in
create | start | stop | delete) shift 2; "$verb" "$@" ;;
*) sed -n '2,8s/^# \?//p' "$0" >&2; exit 64 ;;
esac
