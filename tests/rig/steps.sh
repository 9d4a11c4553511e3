# shellcheck shell=bash disable=SC2034
# What the tests of a whole deployment have in common. Sourced after lib.sh and world.sh.
CLUSTER=stargate-aks-e2e-7 NODE_GROUP=MC_stargate-aks-e2e-7_stargate-aks-e2e-7_canadacentral POD_PREFIX=10.244.0.0/16
export NODE_GROUP # whose name AKS puts on its nodes
kubectl() { inside inet "$BIN/kubectl" --kubeconfig "$RUN/kubeconfig" "$@"; }
subscription() { endpoint subscription; }
# arm METHOD PATH [BODY]: PATH below the subscription, without a version; the answer on stdout
arm() {
  local method=$1 path=$2 version=2024-05-01; shift 2
  case $path in */Microsoft.Compute/*) version=2024-07-01 ;; *providers*) ;; *) version=2021-04-01 ;; esac
  inside inet curl -sS --fail-with-body -X "$method" -H "Authorization: Bearer $(endpoint token)" -H 'Content-Type: application/json' \
    "$SIMULATOR/subscriptions/$(subscription)/$path?api-version=$version" ${1:+--data "$1"}
}
put() { arm PUT "$1" "$2" >/dev/null; settled "$1"; }
settled() { succeeded() { arm GET "$1" | jq -e '.properties.provisioningState == "Succeeded"'; }; wait_for 120 succeeded "$1"; }

# How pods are connected: bridge, or cilium for Cilium's own agents.
export RIG_CNI=${RIG_CNI:-bridge}
built_all() {
  "$HERE/down.sh" && find "$LOGS" -name '*.log' ! -name check.log -delete && "$HERE/build.sh" && "$HERE/build-kube.sh" && "$HERE/root.sh"
  [ "$RIG_CNI" != cilium ] || "$HERE/cilium.sh" build
}
network_name() { arm GET "resourceGroups/$NODE_GROUP/providers/Microsoft.Network/virtualNetworks" | jq -er '.value[0].name'; }
# instances: NAME ADDRESS of each of the scale sets' machines, in their order
instances() {
  local set; set=$(arm GET "resourceGroups/$NODE_GROUP/providers/Microsoft.Compute/virtualMachineScaleSets" | jq -er '.value[0].name')
  paste -d' ' <(arm GET "resourceGroups/$NODE_GROUP/providers/Microsoft.Compute/virtualMachineScaleSets/$set/virtualMachines" |
    jq -r '.value[].properties.osProfile.computerName | ascii_downcase') \
    <(arm GET "resourceGroups/$NODE_GROUP/providers/Microsoft.Compute/virtualMachineScaleSets/$set/networkInterfaces" |
    jq -r '.value[].properties.ipConfigurations[0].properties.privateIPAddress')
}
plane() {
  "$HERE/kube.sh" up && "$HERE/mirror.sh" up && "$HERE/aks.sh" prepare
  case $RIG_CNI in
  cilium) background agents "$HERE/cilium.sh" agents ;;
  *) background agents "$HERE/aks.sh" agents ;;
  esac
}
# The pool's machines in the order of their pod CIDRs: 10.244.0.0/24, 10.244.1.0/24, …
pool() {
  local network number=0 name address; network=$(network_name)
  wait_for 20 test -e "/run/netns/net-$network"
  while read -r name address; do
    "$HERE/aks.sh" node "$network" aks-subnet "$name" "$address/16" "10.244.$number.0/24" </dev/null &
    number=$((number + 1))
  done < <(instances)
  wait
  nodes_ready
  "$HERE/aks.sh" tunnel "$(instances | head -1 | cut -d' ' -f1)"
}
nodes_ready() { kubectl wait --for=condition=Ready nodes --all --timeout=240s; }
serving() {
  approved() { "$HERE/aks.sh" approve; kubectl get csr -o json | jq -e '[.items[] | select(.spec.signerName == "kubernetes.io/kubelet-serving")] | length >= 2 and all(.status.certificate)'; }
  wait_for 180 approved
}
# What is dead at the end is told.
# pods_answer: every pair has answered in one round; a round in which they do not is shown. One more round than needed is one more
# in which a busy host may stall a connection.
pods_answer() { "$HERE/matrix.sh" pods && { wait_for 120 "$HERE/matrix.sh" show || "$HERE/matrix.sh" show; }; }
environment_with_kubernetes() { echo "STARGATE_KUBECONFIG=$RUN/kubeconfig" >> "$RUN/environment"; }

# followed: waits until the follower has done whatever the simulator has told so far
followed() {
  local last; last=$(world events | tail -1 | jq -er .seq)
  caught_up() { jq -e --argjson last "$last" '.seq >= $last' "$RUN/follow.json"; }
  wait_for 60 caught_up
}
# run_in MACHINE COMMAND...: as root, without a login
run_in() { nsenter --target="$(pgrep -P "$(cat "$RUN/machine-$1.pid")" | head -1)" --all -- "${@:2}"; }
# approve ROUTER PREFIX...: the approved set becomes this
approve() { tailnet "device/$(device "$1")/routes" --json "$(printf '%s\n' "${@:2}" | jq -R . | jq -sc '{routes: .}')" >/dev/null; }
# cilium_carries: every node's agent is healthy, and the node's pod is an endpoint of its
cilium_carries() {
  local node address
  while read -r node address; do
    run_in "$node" cilium status --brief </dev/null
    run_in "$node" cilium endpoint list -o json </dev/null | jq -e --arg ip "$address" 'any(.[]; any(.status.networking.addressing[]?; .ipv4 == $ip))'
  done < <(kubectl get pods -l app=echo -o json | jq -r '.items[] | "\(.spec.nodeName) \(.status.podIP)"')
}
# all_pairs COUNT: so many, and all of them answer
all_pairs() { pods_answer && same "$1" "$(wc -l < "$RUN/matrix")"; }

# restarted MACHINE: Azure is asked to restart it, and another kernel's first process runs there
restarted() {
  local before; before=$(started "$1")
  world drift --json "{\"method\":\"POST\",\"path\":\"$(jq -er --arg name "$1" '.machines[$name].id' "$RUN/follow.json")/restart?api-version=2024-07-01\"}"
  other_boot() { local now; now=$(started "$1") && [ -n "$now" ] && [ "$now" != "$before" ]; }
  wait_for 120 other_boot "$1"
}
# restarted_well MACHINE COUNT: and all pairs answer again
restarted_well() { restarted "$1" && all_pairs "$2"; }
started() { cut -d' ' -f22 "/proc/$(pgrep -P "$(cat "$RUN/machine-$1.pid")" | head -1)/stat"; }

cluster_is_up() {
  check "everything is built" built_all
  check "the internet and a tailnet are up" surroundings
  check "the simulator of Azure is up and followed" simulator
  check "Kubernetes and a mirror are up" plane
  check "two nodes of AKS boot, join and are Ready" pool
  check "their serving certificates are approved" serving
  check "their pods reach each other over the overlay" pods_answer
  environment_with_kubernetes
}
