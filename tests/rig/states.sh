#!/bin/bash
# Every broken state that the simulator's tests know, brought about on the real machines: whether the kernels kill exactly the pairs that
# the simulator says, and whether all are alive again when it is mended.
#
# states.sh     on a deployment that stands, of two nodes and two workers with a pod each, as deployment.sh --keep leaves it; 2 min
#
# Sourced, it brings the function `states`. What Azure has is changed by a third party's request to the simulator, which is Azure here; the
# kernels, tailscaled, the tailnet and the cluster are changed themselves.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  . "$(dirname "$0")/lib.sh"
  . "$HERE/world.sh"
  . "$HERE/steps.sh"
fi
STATES=$REPOSITORY/plugins/sim/tests/dataplane/broken-states.json

# --- what is there

# below ID: as a path of `arm`
below() { echo "${1#/subscriptions/*/}"; }
subnet_of() { arm GET "$(below "$(jq -er --arg machine "$1" '.machines[$machine].nic' "$RUN/follow.json")")" | jq -er '.properties.ipConfigurations[0].properties.subnet.id'; }
aks_subnet() { arm GET "resourceGroups/$NODE_GROUP/providers/Microsoft.Network/virtualNetworks/$(network_name)/subnets/aks-subnet" | jq -er .id; }
# subnet_facts ROLE ID: its names, its table and the table's routes
subnet_facts() {
  local table; table=$(arm GET "$(below "$2")" | jq -er .properties.routeTable.id)
  arm GET "$(below "$table")" | jq --arg role "$1" --arg id "$2" '($id / "/") as $names | {($role): {network: $names[8], name: $names[10], table: .name,
    routes: (.properties.routes | map({key: .properties.addressPrefix, value: {id, properties: (.properties | {addressPrefix, nextHopType, nextHopIpAddress})}}) | from_entries)}}'
}
advertised() { run_in "$1" tailscale debug prefs | jq -c '.AdvertiseRoutes // []'; }
enabled() { tailnet "device/$(device "$1")/routes" | jq -c .enabledRoutes; }
# nodes_here: the file's names and the cluster's
nodes_here() {
  local number=0 name
  while read -r name _; do number=$((number + 1)); echo "aks-$number $name"; done < <(instances)
  printf '%s\n' 'worker-1 worker-1' 'worker-2 worker-2'
}
state_facts() {
  local nodes; nodes=$(nodes_here | jq -R '. / " " | {(.[0]): .[1]}' | jq -s add)
  jq -n --argjson nodes "$nodes" --argjson pods "$(kubectl get pods -l app=echo -o json | jq '[.items[] | {key: .spec.nodeName, value: .status.podIP}] | from_entries')" \
    --argjson subnets "$({ subnet_facts aks-subnet "$(aks_subnet)"; subnet_facts routers "$(subnet_of aks-router)"; subnet_facts machines "$(subnet_of dc-router)"; } | jq -s add)" \
    --argjson aks "$(advertised aks-router)" --argjson dc "$(advertised dc-router)" --argjson aks_enabled "$(enabled aks-router)" --argjson dc_enabled "$(enabled dc-router)" \
    '{nodes: $nodes, pods: ($nodes | map_values($pods[.])), subnets: $subnets, advertisement: {"aks-router": $aks, "dc-router": $dc},
      approval: {"aks-router": $aks_enabled, "dc-router": $dc_enabled}}'
}

# --- what is done

# edited SET DRIFT: the JSON array with the drift's prefix, or without
edited() { jq -nc --argjson set "$1" --argjson drift "$2" '$set - [$drift.prefix] + if $drift.on then [$drift.prefix] else [] end'; }
happens() {   # DRIFT
  local drift=$1 machine; machine=$(jq -r '.router // .host // .node // empty' <<< "$drift")
  case $(jq -r '.kind // "azure"' <<< "$drift") in
  azure | nic_forwarding | association) world drift --json "$drift" >/dev/null; followed ;;
  kernel_forwarding) run_in "$machine" sysctl -qw "net.ipv4.ip_forward=$(jq 'if .on then 1 else 0 end' <<< "$drift")" ;;
  mss_clamp)
    if [ "$(jq .on <<< "$drift")" = true ]; then run_in "$machine" systemctl restart stargate-mss-clamp
    else run_in "$machine" nft delete table inet stargate_mss_clamp; fi ;;
  stateful_filtering) run_in "$machine" tailscale set --stateful-filtering="$(jq '.on // false' <<< "$drift")" ;;
  advertisement) run_in "$machine" tailscale set --advertise-routes="$(edited "$(advertised "$machine")" "$drift" | jq -r 'join(",")')" ;;
  approval) tailnet "device/$(device "$machine")/routes" --json "{\"routes\": $(edited "$(enabled "$machine")" "$drift")}" >/dev/null ;;
  pod_cidr) kubectl patch ciliumnode "$machine" --type merge -p "$(jq -c '{spec: {ipam: {podCIDRs: (if .prefix then [.prefix] else null end)}}}' <<< "$drift")" ;;
  *) echo "nobody here can do $drift"; return 1 ;;
  esac
}
happen_all() { local drift; while read -r drift; do happens "$drift" </dev/null; done; }
# dies STATE: it comes to be, and exactly its pairs are dead; twice, lest it is only passed on the way to something worse
dies() {
  local expected; expected=$(jq -r '.dead[]' <<< "$1")
  are_dead() { same "$expected" "$("$HERE/matrix.sh" dead)"; }
  jq -c '.break[]' <<< "$1" | happen_all
  wait_for 90 are_dead || { are_dead; return 1; }
  wait_for 30 are_dead || are_dead
}
lives() { jq -c '.mend[]' <<< "$1" | happen_all; wait_for 90 "$HERE/matrix.sh" show || "$HERE/matrix.sh" show; }
dies_and_lives() { dies "$1"; lives "$1"; }
states() {
  local state
  [ "$(kubectl get pods -l app=echo -o name | wc -l)" = 4 ] || { echo "the states are of two nodes and two workers with a pod each" >&2; return 1; }
  state_facts > "$RUN/state-facts.json"
  "$HERE/states.py" "$RUN/state-facts.json" "$STATES" > "$RUN/states.json"
  while read -r state <&3; do
    if jq -e .absent >/dev/null <<< "$state"; then echo "skipped         $(jq -r '.name + ": " + .absent' <<< "$state")"; continue; fi
    check "$(jq -r '"\(.name): \(.dead | length) pairs die, and live again"' <<< "$state")" dies_and_lives "$state"
  done 3< "$RUN/states.json"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  keep=yes
  claim
  trap finish EXIT
  states
fi
