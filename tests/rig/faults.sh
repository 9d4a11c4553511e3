# shellcheck shell=bash disable=SC2034
# What somebody else may do to a deployment: each breaks something, and one sync-pod-routes mends just that. Sourced after runs.sh.
FAULTS=(nic kernel worker_kernel clamp advertisement approval route cilium)
said() {
  case $1 in
  nic) echo "forwarding off in the AKS router's NIC" ;;
  kernel) echo "forwarding off in the datacenter router's kernel" ;;
  worker_kernel) echo "forwarding off in a worker's kernel" ;;
  clamp) echo "the clamp of TCP's segments gone from the datacenter's router" ;;
  advertisement) echo "an advertised route withdrawn" ;;
  approval) echo "an approval withdrawn" ;;
  route) echo "a route of the AKS nodes' table deleted" ;;
  cilium) echo "the pod CIDR of a CiliumNode blanked" ;;
  esac
}
# drifted METHOD PATH [BODY]: somebody else's request to Azure, PATH below the subscription
drifted() {
  world drift --json "$(jq -nc --arg method "$1" --arg path "/subscriptions/$(subscription)/$2?api-version=2024-05-01" --argjson body "${3:-null}" \
    '{method: $method, path: $path, body: $body}')" >/dev/null
  followed
}
# break FAULT
broken() {
  local nic=resourceGroups/$NODE_GROUP/providers/Microsoft.Network/networkInterfaces/aks-router-nic
  case $1 in
  nic) drifted PUT "$nic" "$(arm GET "$nic" | jq -c '.properties.enableIPForwarding = false')" ;;
  kernel) run_in dc-router sysctl -qw net.ipv4.ip_forward=0 ;;
  worker_kernel) run_in worker-1 sysctl -qw net.ipv4.ip_forward=0 ;;
  clamp) run_in dc-router nft delete table inet stargate_mss_clamp ;;
  advertisement) run_in dc-router tailscale set --advertise-routes=10.50.1.0/24 ;;
  approval) approve dc-router 10.50.1.0/24 ;;
  route) drifted DELETE "resourceGroups/$NODE_GROUP/providers/Microsoft.Network/routeTables/stargate-workers-rt/routes/stargate-$CLUSTER-10.244.64.0-18" ;;
  cilium) kubectl patch ciliumnode worker-1 --type merge -p '{"spec":{"ipam":{"podCIDRs":null}}}' ;;
  esac
}
# mending FAULT: the steps of the workflow that have something to do, and the writes to Azure, the tailnet and the cluster
mending() {
  case $1 in
  nic) echo "aks_router_forwards 1 0 0" ;;
  kernel) echo "router_kernel[dc-router] 0 0 0" ;;
  worker_kernel) echo "worker_kernel[worker-1] 0 0 0" ;;
  clamp) echo "router_clamp[dc-router] 0 0 0" ;;
  advertisement) echo "advertised[dc-router] 0 0 0" ;;
  approval) echo "approved[dc-router] 0 1 0" ;;
  route) echo "workers_routes 1 0 0" ;;
  cilium) echo "cilium 0 0 1" ;;
  esac
}
some_pair_is_dead() { ! "$HERE/matrix.sh" show; }
mended() {
  local before after
  broken "$1"
  # The agent routes by other means, and the other router clamps for both.
  [ "$1" = cilium ] || [ "$1" = clamp ] || wait_for 60 some_pair_is_dead
  before=$(writes); stamped
  complete mending sync
  after=$(writes)
  same "$(mending "$1")" "$(changed_steps mending) $(paste -d' ' <(tr ' ' '\n' <<< "$before") <(tr ' ' '\n' <<< "$after") | awk '{ printf "%s%d", (NR > 1 ? " " : ""), $2 - $1 }')"
  # What is mended on a machine is mended in its kernel or its tailscaled: the files that say the same were right all along.
  same '' "$(touched)"
  wait_for 90 "$HERE/matrix.sh" show
}
