#!/bin/bash
# Cilium's own agents on every node, as AKS runs them: native routing, addresses from a delegated plugin. The nodes of AKS get theirs from
# host-local here, in the place of Azure's; the workers' plugin is what repave-worker has set up.
#
# cilium.sh build             agent, CNI plugin and operator from the Go module, and clang for the machines' disk; 6 min cold, then nothing
# cilium.sh settings          the ConfigMap that AKS keeps the agents' settings in
# cilium.sh operator          starts the operator in the internet; it defines CiliumNode and its like
# cilium.sh agents            starts the agent on every machine whose node has registered, as the DaemonSet does; goes on for ever
# cilium.sh node NAME         on one machine
# cilium.sh configure         every agent starts again with the settings of the ConfigMap
#
# 1.15.19 is the newest version whose dependencies can all be had.
. "$(dirname "$0")/lib.sh"
. "$HERE/world.sh"
. "$HERE/steps.sh"
CILIUM=1.15.19 source=$RIG/src/cilium parts=$RIG/cilium

# AKS's configuration of the agent where it differs from Cilium's own, and below what a container among others needs.
configuration() {
  cat <<'C'
auto-direct-node-routes false
bpf-map-dynamic-size-ratio 0.0025
cgroup-root /run/cilium/cgroupv2
cni-exclusive false
enable-bgp-control-plane false
enable-endpoint-health-checking false
enable-endpoint-routes true
enable-host-legacy-routing true
enable-hubble false
enable-ipv4 true
enable-ipv4-masquerade false
enable-ipv6 false
enable-ipv6-masquerade false
enable-l7-proxy false
enable-local-node-route false
identity-allocation-mode crd
ipam delegated-plugin
k8s-require-ipv4-pod-cidr false
local-router-ipv4 169.254.23.0
routing-mode native
devices eth0
enable-health-checking false
k8s-kubeconfig-path /etc/cilium/kubeconfig
kube-proxy-replacement false
procfs /proc
C
}

compile() {
  local module c=github.com/cilium/cilium
  mkdir -p "$source" "$parts" && cd "$source"
  module=$(go mod download -json "$c@v$CILIUM" | jq -r .Dir)
  { printf 'module scratch\n\ngo 1.26.0\n\nrequire %s v%s\n\n' "$c" "$CILIUM"; sed -n '/^replace (/,/^)/p' "$module/go.mod"; } > go.mod
  nice -n 19 go build -mod=mod -ldflags "-s -w -X $c/pkg/version.ciliumVersion=$CILIUM" -o "$source/" \
    $c/daemon $c/cilium-dbg $c/plugins/cilium-cni $c/operator
  # The agent insists on /proc/modules, which a kernel without modules has not: it reads an empty file with a name as long.
  sed 's#/proc/modules#/etc/nomodule#g' daemon > "$parts/cilium-agent"; chmod 755 "$parts/cilium-agent"
  install cilium-cni operator "$parts/"; install cilium-dbg "$parts/cilium"
  rm -rf "$parts/bpf"; cp -r "$module/bpf" "$parts/bpf"; chmod -R u+w "$parts/bpf"
}
# The agent compiles its programs on the machine.
compiler() {
  cp --remove-destination -L /etc/resolv.conf "$ROOT/etc/resolv.conf"
  chroot "$ROOT" env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends clang llvm bpftool ipset' \
    >"$LOGS/cilium-packages.log" 2>&1
  : > "$ROOT/etc/resolv.conf"
}
build() {
  "$HERE/root.sh"
  built cilium "$CILIUM" || { (compile) && stamp cilium "$CILIUM"; }
  disk="$(cat "$STAMPS/disk") ipset"
  built cilium-disk "$disk" || { compiler && stamp cilium-disk "$disk"; }
}
settings() {
  configuration | jq -Rs '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "cilium-config", namespace: "kube-system"},
    data: (split("\n") | map(select(. != "") | capture("(?<key>[^ ]*) (?<value>.*)")) | from_entries)}' | kubectl apply -f - >/dev/null
}
operator() {
  background cilium-operator nsenter --net=/run/netns/inet -- "$parts/operator" --k8s-kubeconfig-path="$RUN/kubeconfig" --k8s-namespace=kube-system \
    --identity-allocation-mode=crd --operator-api-serve-addr=127.0.0.1:9234
  wait_for 60 kubectl wait --for=condition=Established crd/ciliumnodes.cilium.io crd/ciliumendpoints.cilium.io --timeout=5s
}

# Everything that the agent's pod brings with it, onto the machine NAME.
unpack() {
  local name=$1
  tar -C "$parts" -cf - cilium-agent cilium | run_in "$name" tar -C /usr/local/sbin -xf -
  run_in "$name" mkdir -p /var/lib/cilium/bpf /run/cilium/cgroupv2 /etc/cilium/config /opt/cni/bin
  for folder in /opt/cni/bin /usr/lib/cni; do tar -C "$parts" -cf - cilium-cni | run_in "$name" tar -C "$folder" -xf -; done
  tar -C "$parts/bpf" -cf - . | run_in "$name" tar -C /var/lib/cilium/bpf -xf -
  run_in "$name" sh -c 'umask 077; cat > /etc/cilium/kubeconfig' < "$RUN/kubeconfig"
  settle "$name"
}
# settle NAME: the settings of the ConfigMap, as files
settle() {
  local settings
  settings=$(kubectl get configmap cilium-config -n kube-system -o json | jq -er '.data | to_entries[] | "\(.key) \(.value)"') || return 1
  run_in "$1" sh -c 'mkdir -p /etc/cilium/config && rm -f /etc/cilium/config/*'
  # shellcheck disable=SC2016
  echo "$settings" | run_in "$1" sh -c 'while read -r key value; do printf %s "$value" > "/etc/cilium/config/$key"; done'
}
# A kernel without modules has them built in, which the agent reads from a list; clang is newer than the agent's sources.
prepare() {
  run_in "$1" sh -eu <<'N'
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
mountpoint -q /run/cilium/cgroupv2 || mount -t cgroup2 none /run/cilium/cgroupv2
: > /etc/nomodule
folder=/lib/modules/$(uname -r); mkdir -p "$folder"
for family in ip ip6; do
  for table in filter mangle nat raw; do echo "kernel/net/netfilter/${family}table_$table.ko"; done
  echo "kernel/net/netfilter/${family}_tables.ko"
done > "$folder/modules.builtin"
echo kernel/net/netfilter/xt_socket.ko >> "$folder/modules.builtin"
printf '#!/bin/sh\nexec /usr/bin/clang "$@" -Wno-error -Wno-shorten-64-to-32\n' > /usr/local/bin/clang; chmod 755 /usr/local/bin/clang
N
}
node() {
  local name=$1
  unpack "$name" || return 1
  prepare "$name"
  run_in "$name" sh -eu <<N
cat > /run/systemd/system/cilium.service <<U
[Service]
ExecStartPre=/bin/sh -c 'mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf'
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin K8S_NODE_NAME=$name CILIUM_K8S_NAMESPACE=kube-system
ExecStart=/usr/local/sbin/cilium-agent --config-dir=/etc/cilium/config
Restart=on-failure
U
systemctl daemon-reload
systemctl start cilium
N
}
# has_agent NAME: whether it runs there; after a restart of the machine it has to be started again
has_agent() { run_in "$1" systemctl is-active -q cilium; }
# boots NAME: whether its first process is there
boots() { running "machine-$1" && pgrep -P "$(cat "$RUN/machine-$1.pid")" >/dev/null; }
# settled_agent NAME: its agent answers, and says that it is well
settled_agent() { run_in "$1" cilium status --brief; }
configure() {
  local name nodes
  mapfile -t nodes < <(kubectl get nodes -o json | jq -r '.items[].metadata.name')
  for name in "${nodes[@]}"; do settle "$name"; run_in "$name" systemctl restart cilium & done
  wait
  for name in "${nodes[@]}"; do wait_for 120 settled_agent "$name"; done
}
agents() {
  local name
  while :; do
    while read -r name; do
      boots "$name" || continue
      has_agent "$name" 2>/dev/null || node "$name" || true
    done < <(kubectl get nodes -o json | jq -r '.items[].metadata.name')
    sleep 0.5
  done
}

case ${1:-} in
build | settings | operator | agents | node | configure) "$@" ;;
*) sed -n '2,13s/^# \?//p' "$0" >&2; exit 64 ;;
esac
