#!/bin/bash
# More than fifty faults of two sites, one by one: whether `stargate verify` finds exactly the dead pairs, `stargate trace` names the
# surface, `plan` tells, and one sync mends it, or names what is not ours.
#
# catalogue.sh [--keep] [--cilium] [NUMBER...]
#   --keep      leaves all of it up; down.sh ends it
#   --cilium    with Cilium's own agents on every node
#   NUMBER      only these faults
#
# The deployment takes 5 min, each fault 20 to 40 s.
. "$(dirname "$0")/lib.sh"
. "$HERE/world.sh"
keep='' numbers=()
while [ $# -gt 0 ]; do
  case $1 in
  --keep) keep=yes ;;
  --cilium) export RIG_CNI=cilium ;;
  [0-9]*) numbers+=("$1") ;;
  *) sed -n '2,10s/^# \?//p' "$0" >&2; exit 64 ;;
  esac
  shift
done
. "$HERE/steps.sh"
. "$HERE/runs.sh"
. "$HERE/faults.sh"
. "$HERE/sites.sh"
. "$HERE/verify.sh"
. "$HERE/trace.sh"
NORTH=$CLUSTER-north

# --- what another party does

network_of() { echo "resourceGroups/$1/providers/Microsoft.Network/$2"; }
# forwarding_off GROUP MACHINE: in its interface
forwarding_off() {
  local nic; nic=$(network_of "$1" "networkInterfaces/$2-nic")
  drifted PUT "$nic" "$(arm GET "$nic" | jq -c '.properties.enableIPForwarding = false')"
}
kernel_off() { run_in "$1" sysctl -qw net.ipv4.ip_forward=0; }
# advertise_without, approve_without ROUTER PREFIX
advertise_without() {
  run_in "$1" tailscale set --advertise-routes="$(run_in "$1" tailscale debug prefs | jq -r --arg prefix "$2" '.AdvertiseRoutes - [$prefix] | join(",")')"
}
approve_without() {
  # shellcheck disable=SC2046
  approve "$1" $(tailnet "device/$(device "$1")/routes" | jq -r --arg prefix "$2" '.enabledRoutes - [$prefix] | .[]')
}
# advertise_part, approve_part ROUTER PREFIX PART: the part in place of the prefix
advertise_part() {
  run_in "$1" tailscale set --advertise-routes="$(run_in "$1" tailscale debug prefs |
    jq -r --arg prefix "$2" --arg part "$3" '.AdvertiseRoutes - [$prefix] + [$part] | join(",")')"
}
approve_part() {
  # shellcheck disable=SC2046
  approve "$1" $(tailnet "device/$(device "$1")/routes" | jq -r --arg prefix "$2" --arg part "$3" '.enabledRoutes - [$prefix] + [$part] | .[]')
}
# no_clamps, no_clamp_rules, routes_refused ROUTER...
no_clamps() { local router; for router; do run_in "$router" nft delete table inet stargate_mss_clamp; done; }
no_clamp_rules() { local router; for router; do run_in "$router" nft flush table inet stargate_mss_clamp; done; }
routes_refused() { local router; for router; do preference "$router" --accept-routes=false; done; }
preference() { run_in "$1" tailscale set "$2"; }
# route_path GROUP PREFIX TABLE: the path of the route for the prefix, below the subscription; TABLE is a part of the table's name
route_path() {
  arm GET "$(network_of "$1" routeTables)" | jq -er --arg prefix "$2" --arg table "$3" '[.value[] | select(.name | contains($table)) | .properties.routes[] |
    select(.properties.addressPrefix == $prefix)][0].id | sub("^/subscriptions/[^/]*/"; "")'
}
# no_route GROUP PREFIX TABLE
no_route() { drifted DELETE "$(route_path "$@")"; }
# wrong_hop GROUP PREFIX TABLE HOP
wrong_hop() {
  drifted PUT "$(route_path "$1" "$2" "$3")" "$(jq -nc --arg prefix "$2" --arg hop "$4" \
    '{properties: {addressPrefix: $prefix, nextHopType: "VirtualAppliance", nextHopIpAddress: $hop}}')"
}
# narrower GROUP PREFIX TABLE NARROWER: a route of somebody else's that drops a part
narrower() {
  local path; path=$(route_path "$1" "$2" "$3")
  drifted PUT "${path%/*}/quarantine" "$(jq -nc --arg prefix "$4" '{properties: {addressPrefix: $prefix, nextHopType: "None"}}')"
}
not_narrower() { local path; path=$(route_path "$1" "$2" "$3"); drifted DELETE "${path%/*}/quarantine"; }
# no_table SUBNET-ID
no_table() { local path=${1#/subscriptions/*/}; drifted PUT "$path" "$(arm GET "$path" | jq -c 'del(.properties.routeTable)')"; }
subnet_id() { arm GET "$(network_of "$1" "networkInterfaces/$2-nic")" | jq -er '.properties.ipConfigurations[0].properties.subnet.id'; }
node_subnet() { arm GET "$(network_of "$NODE_GROUP" "virtualNetworks/$(network_name)/subnets/aks-subnet")" | jq -er .id; }
kernel_route() { run_in "$1" ip route "${@:2}"; }
guarded() { run_in "$1" nft "add table ip company { chain forward { type filter hook forward priority 10; $2 }; }"; }
unguarded() { run_in "$1" nft delete table ip company; }

# --- the faults: who mends it, the surfaces that a trace may name, what it is, what breaks it, what undoes it if a sync does not
catalogue() { cat <<T
sync|interface_forwarding|interface of the AKS router|forwarding_off $NODE_GROUP aks-router
sync|interface_forwarding|interface of a site's router|forwarding_off $DATACENTER dc-router
sync|interface_forwarding|interface of the other site's router|forwarding_off $NORTH $NORTH_ROUTER
sync|kernel_forwarding|kernel of the AKS router|kernel_off aks-router
sync|kernel_forwarding|kernel of a site's router|kernel_off dc-router
sync|kernel_forwarding|kernel of the other site's router|kernel_off $NORTH_ROUTER
sync|kernel_forwarding|kernel of a worker|kernel_off worker-2
sync|kernel_forwarding|kernel of the other site's worker|kernel_off $NORTH_WORKER
sync|advertised_route|pods of a site not advertised|advertise_without dc-router 10.244.64.0/18
sync|advertised_route|pods of the other site not advertised|advertise_without $NORTH_ROUTER 10.244.128.0/18
sync|advertised_route|pods of a node of AKS not advertised|advertise_without aks-router 10.244.1.0/24
sync|advertised_route|a part of a site's pods advertised only|advertise_part dc-router 10.244.64.0/18 10.244.96.0/19
sync|advertised_route|a part of a node's pods advertised only|advertise_part aks-router 10.244.1.0/24 10.244.1.128/25
sync|approved_route|a part of the other site's pods approved only|approve_part $NORTH_ROUTER 10.244.128.0/18 10.244.160.0/19
sync|approved_route|a part of a node's pods approved only|approve_part aks-router 10.244.0.0/24 10.244.0.128/25
sync|approved_route|pods of a site not approved|approve_without dc-router 10.244.64.0/18
sync|approved_route|pods of the other site not approved|approve_without $NORTH_ROUTER 10.244.128.0/18
sync|approved_route|pods of a node of AKS not approved|approve_without aks-router 10.244.0.0/24
sync|accepted_route|routes refused by the AKS router|preference aks-router --accept-routes=false
sync|accepted_route|routes refused by a site's router|preference dc-router --accept-routes=false
sync|accepted_route|routes refused by the other site's router|preference $NORTH_ROUTER --accept-routes=false
sync|accepted_route|routes refused by both sites' routers|routes_refused dc-router $NORTH_ROUTER
sync|accepted_route|routes refused by all routers|routes_refused aks-router dc-router $NORTH_ROUTER
sync|segment_clamp|no clamp on any router|no_clamps aks-router dc-router $NORTH_ROUTER
sync|segment_clamp|no clamp on the routers of AKS and a site|no_clamps aks-router dc-router
sync|segment_clamp|no clamp on the routers of AKS and the other site|no_clamps aks-router $NORTH_ROUTER
sync|segment_clamp|no clamp on both sites' routers|no_clamps dc-router $NORTH_ROUTER
sync|segment_clamp|clamps without rules on all routers|no_clamp_rules aks-router dc-router $NORTH_ROUTER
sync|tailscaled|stateful filtering on the AKS router|preference aks-router --stateful-filtering=true
sync|tailscaled|stateful filtering on a site's router|preference dc-router --stateful-filtering=true
sync|tailscaled|source addresses replaced by a site's router|preference dc-router --snat-subnet-routes=true
sync|tailscaled|source addresses replaced by the AKS router|preference aks-router --snat-subnet-routes=true
sync|tailscaled device|the other site's router disconnected|run_in $NORTH_ROUTER tailscale down
sync|tailscaled device|tailscaled stopped on a site's router|run_in dc-router systemctl stop tailscaled
sync|route_table|no route of the nodes to a site|no_route $NODE_GROUP 10.244.64.0/18 workers-rt
sync|route_table|no route of the nodes to the other site|no_route $NODE_GROUP 10.244.128.0/18 workers-rt
sync|route_table|no route of the AKS router to a node's pods|no_route $NODE_GROUP 10.244.1.0/24 router-rt
sync|route_table|no route of a site to a node's pods|no_route $DATACENTER 10.244.0.0/24 rt
sync|route_table|no route of a site to a worker's pods|no_route $DATACENTER 10.244.65.0/24 rt
sync|route_table|a route of the other site to a wrong hop|wrong_hop $NORTH 10.244.128.0/24 rt 10.60.1.77
sync|route_table|a route of the nodes to a wrong hop|wrong_hop $NODE_GROUP 10.244.64.0/18 workers-rt 10.237.0.77
sync|route_table|no table for the nodes' subnet|no_table $(node_subnet)
sync|route_table|no table for the AKS router's subnet|no_table $(subnet_id "$NODE_GROUP" aks-router)
sync|route_table|no table for a site's subnet|no_table $(subnet_id "$DATACENTER" dc-router)
undo|route_table|a narrower route of the nodes|narrower $NODE_GROUP 10.244.64.0/18 workers-rt 10.244.64.0/25|not_narrower $NODE_GROUP 10.244.64.0/18 workers-rt
undo|kernel_route|a blackhole on the AKS router|kernel_route aks-router add blackhole 10.244.0.0/24|kernel_route aks-router del blackhole 10.244.0.0/24
undo|kernel_route|an unreachable route on a site's router|kernel_route dc-router add unreachable 10.244.64.0/24|kernel_route dc-router del unreachable 10.244.64.0/24
undo|kernel_route|a prohibiting route on the other site's router|kernel_route $NORTH_ROUTER add prohibit 10.244.128.0/24|kernel_route $NORTH_ROUTER del prohibit 10.244.128.0/24
undo|kernel_route|a narrower blackhole among a router's routes of the tailnet|kernel_route dc-router add blackhole 10.244.0.0/25 table 52|kernel_route dc-router del blackhole 10.244.0.0/25 table 52
undo|kernel_route|a blackhole on a worker|kernel_route worker-1 add blackhole 10.244.1.0/24|kernel_route worker-1 del blackhole 10.244.1.0/24
undo|firewall|a dropping policy on the AKS router|guarded aks-router 'policy drop;'|unguarded aks-router
undo|firewall|a dropping policy on the other site's router|guarded $NORTH_ROUTER 'policy drop;'|unguarded $NORTH_ROUTER
undo|firewall|a dropping policy on a worker|guarded worker-2 'policy drop;'|unguarded worker-2
undo|firewall|a rule against a site's pods on the AKS router|guarded aks-router 'ip saddr 10.244.64.0/18 drop;'|unguarded aks-router
undo|firewall|a rule against a node's pods on a site's router|guarded dc-router 'ip daddr 10.244.1.0/24 drop;'|unguarded dc-router
undo|firewall|a rule against a node's pods on the other site's worker|guarded $NORTH_WORKER 'ip saddr 10.244.0.0/24 drop;'|unguarded $NORTH_WORKER
T
}

# --- what has to be seen

faulty_surfaces() { echo "$1"; }
sync_ends() { begin catalogue sync_only; ended catalogue; same "$1" "$(jq .exit "$RUN/catalogue.json")"; }
# probes_mend SURFACES BREAK: whether a probe pod mends it: the CNI plugin turns the kernel's forwarding on for each new pod of a worker
probes_mend() { [[ $2 = kernel_off* && $2 != *router* ]]; }
faced() {   # MENDER SURFACES BREAK UNDO
  eval "$3"
  wait_for 60 some_pair_is_dead
  probes_mend "$2" "$3" || verified
  traced "$2"
  if [ "$1" = sync ]; then
    planned 2; sync_ends 0
  else
    planned 3; sync_ends 3
    eval "$4"
  fi
  wait_for 90 "$HERE/matrix.sh" show
}

# recovered UNDO: after a fault that was not faced as it should be
recovered() {
  eval "$1" || true
  sync_ends 0
  wait_for 90 "$HERE/matrix.sh" show
}

claim
trap finish EXIT
cluster_is_up
check "provision-aks-router" complete aks-router aks_router
check "provision-dc" complete dc datacenter 2
for worker in worker-1 worker-2; do check "repave-worker $worker" complete "$worker" repave "$worker"; done
check "provision-dc: a second site" second_site
check "repave-worker $NORTH_WORKER" north_worker
check "25 of 25 pod pairs answer with their source addresses kept" all_pairs 25
check "stargate verify: all pairs of pods and nodes answer" all_alive
number=0
catalogue > "$RUN/catalogue"
while IFS='|' read -r mender surfaces what break undo <&3; do
  number=$((number + 1))
  [ ${#numbers[@]} = 0 ] || [[ " ${numbers[*]} " == *" $number "* ]] || continue
  before=$failed
  goes_on=yes check "$number: $what" faced "$mender" "$surfaces" "$break" "$undo"
  [ "$failed" = "$before" ] || check "$number is mended for the next one" recovered "$undo"
done 3< "$RUN/catalogue"
check "sync-pod-routes: nothing is left to mend" again sync
[ "$failed" = 0 ]
