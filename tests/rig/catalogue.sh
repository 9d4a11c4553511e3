#!/bin/bash
# More than sixty faults of two sites, one by one: whether `stargate verify` finds exactly the dead pairs, the first line of `stargate trace`
# names surface, object and hop, `plan` tells, and one sync mends it, or names what is not ours and the command that mends it does.
#
# catalogue.sh [--keep] [--cilium] [NUMBER...]
#   --keep      leaves all of it up; down.sh ends it
#   --cilium    with Cilium's own agents on every node
#   NUMBER      only these faults, in this order
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

# strict_filter MACHINE PREFIX: the path filter is strict, and the machine answers the prefix by a second interface. It finds the gateway
# there without asking for it: whoever answers would learn another way to the machine.
strict_filter() {
  run_in "$1" sh -eu <<N
gateway=\$(ip route show default | cut -d' ' -f3)
ping -c 1 -W 1 "\$gateway" >/dev/null || true
physical=\$(ip neigh show "\$gateway" dev eth0 | sed -n 's/.*lladdr \([^ ]*\).*/\1/p')
ip link add link eth0 name second type macvlan mode private
ip link set second up
ip neigh replace "\$gateway" lladdr "\$physical" dev second nud permanent
ip route add $2 via "\$gateway" dev second onlink
for interface in all eth0; do /usr/sbin/sysctl -qw net.ipv4.conf.\$interface.rp_filter=1; done
N
}
no_second_interface() { run_in "$1" sh -c 'ip link delete second; /usr/sbin/sysctl -qw net.ipv4.conf.all.rp_filter=2'; }
# granted JSON: the grants of the tailnet's policy. Who has a connection keeps it: each request of the matrix is a new one.
granted() { tailnet tailnet/-/acl --json "{\"grants\": $1}"; }
granted_all() { granted '[{"src": ["*"], "dst": ["*"], "ip": ["*"]}]'; }
# cilium_settings JSON: merged into the agents' settings; null removes one
cilium_settings() {
  kubectl patch configmap cilium-config -n kube-system --type merge -p "{\"data\": $1}"
  "$HERE/cilium.sh" configure
}
# masqueraded PREFIX: to all pods but those of the prefix, packets get the address of their pod's node
masqueraded() { cilium_settings "{\"enable-ipv4-masquerade\": \"true\", \"egress-masquerade-interfaces\": \"eth0\", \"ipv4-native-routing-cidr\": \"$1\"}"; }
not_masqueraded() { cilium_settings '{"enable-ipv4-masquerade": "false", "egress-masquerade-interfaces": null, "ipv4-native-routing-cidr": null}'; }
# cilium_node NODE JSON: merged into the spec of its CiliumNode
cilium_node() { kubectl patch ciliumnode "$1" --type merge -p "{\"spec\": $2}"; }
# other_addresses NODE PREFIX OTHER: its CNI plugin gives addresses of the other prefix in place of the one, and its pod is created again
other_addresses() {
  kubectl delete pod "echo-$1" --wait
  run_in "$1" sh -c "sed -i 's#$2#$3#' /etc/cni/net.d/*.conflist; ip link delete cni0 2>/dev/null || true"
  "$HERE/matrix.sh" pods "$1"
}
first_node() { instances | sed -n '1s/ .*//p'; }
second_node() { instances | sed -n '2s/ .*//p'; }

# --- the faults: who mends it, with the step that names it, if it ends with 3; what the first line of a trace says, as `traced` takes it:
# surfaces, places, object; what it is; what breaks it; what undoes it
#   sync            one sync
#   command [STEP]  the command that the trace names
#   undo [STEP]     whoever broke it
#   repave WORKER   a repave of the worker
#   differs STEP    it kills no pair, and a trace passes; the object is one that differs, and a sync changes the step
catalogue() { cat <<T
sync|interface_forwarding|aks-node* aks-router|network interface aks-router-nic|interface of the AKS router|forwarding_off $NODE_GROUP aks-router
sync|interface_forwarding|dc-router|network interface dc-router-nic|interface of a site's router|forwarding_off $DATACENTER dc-router
sync|interface_forwarding|north-router|network interface north-router-nic|interface of the other site's router|forwarding_off $NORTH $NORTH_ROUTER
sync|kernel_forwarding|aks-router|kernel of aks-router|kernel of the AKS router|kernel_off aks-router
sync|kernel_forwarding|dc-router|kernel of dc-router|kernel of a site's router|kernel_off dc-router
sync|kernel_forwarding|north-router|kernel of north-router|kernel of the other site's router|kernel_off $NORTH_ROUTER
sync|kernel_forwarding|worker-2|kernel of worker-2|kernel of a worker|kernel_off worker-2
sync|kernel_forwarding|north-w1|kernel of north-w1|kernel of the other site's worker|kernel_off $NORTH_WORKER
sync|advertised_route|aks-router|device of dc-router|pods of a site not advertised|advertise_without dc-router 10.244.64.0/18
sync|advertised_route|aks-router|device of north-router|pods of the other site not advertised|advertise_without $NORTH_ROUTER 10.244.128.0/18
sync|advertised_route|north-router|device of aks-router|pods of a node of AKS not advertised|advertise_without aks-router 10.244.1.0/24
sync|advertised_route|aks-router|device of dc-router|a part of a site's pods advertised only|advertise_part dc-router 10.244.64.0/18 10.244.96.0/19
sync|advertised_route|north-router|device of aks-router|a part of a node's pods advertised only|advertise_part aks-router 10.244.1.0/24 10.244.1.128/25
sync|approved_route|aks-router|device of north-router|a part of the other site's pods approved only|approve_part $NORTH_ROUTER 10.244.128.0/18 10.244.160.0/19
sync|approved_route|north-router|device of aks-router|a part of a node's pods approved only|approve_part aks-router 10.244.0.0/24 10.244.0.128/25
sync|approved_route|aks-router|device of dc-router|pods of a site not approved|approve_without dc-router 10.244.64.0/18
sync|approved_route|aks-router|device of north-router|pods of the other site not approved|approve_without $NORTH_ROUTER 10.244.128.0/18
sync|approved_route|north-router|device of aks-router|pods of a node of AKS not approved|approve_without aks-router 10.244.0.0/24
sync|accepted_route|aks-router|tailscaled on aks-router|routes refused by the AKS router|preference aks-router --accept-routes=false
sync|accepted_route|dc-router|tailscaled on dc-router|routes refused by a site's router|preference dc-router --accept-routes=false
sync|accepted_route|north-router|tailscaled on north-router|routes refused by the other site's router|preference $NORTH_ROUTER --accept-routes=false
sync|accepted_route|north-router|tailscaled on north-router|routes refused by both sites' routers|routes_refused dc-router $NORTH_ROUTER
sync|accepted_route|aks-router|tailscaled on aks-router|routes refused by all routers|routes_refused aks-router dc-router $NORTH_ROUTER
sync|segment_clamp|aks-router|segment clamp of aks-router|no clamp on any router|no_clamps aks-router dc-router $NORTH_ROUTER
sync|segment_clamp|aks-router|segment clamp of aks-router|no clamp on the routers of AKS and a site|no_clamps aks-router dc-router
sync|segment_clamp|aks-router|segment clamp of aks-router|no clamp on the routers of AKS and the other site|no_clamps aks-router $NORTH_ROUTER
sync|segment_clamp|north-router|segment clamp of north-router|no clamp on both sites' routers|no_clamps dc-router $NORTH_ROUTER
sync|segment_clamp|aks-router|segment clamp of aks-router|clamps without rules on all routers|no_clamp_rules aks-router dc-router $NORTH_ROUTER
sync|tailscaled|aks-router|tailscaled on aks-router|stateful filtering on the AKS router|preference aks-router --stateful-filtering=true
sync|tailscaled|dc-router|tailscaled on dc-router|stateful filtering on a site's router|preference dc-router --stateful-filtering=true
sync|tailscaled|dc-router|tailscaled on dc-router|source addresses replaced by a site's router|preference dc-router --snat-subnet-routes=true
sync|tailscaled|aks-router|tailscaled on aks-router|source addresses replaced by the AKS router|preference aks-router --snat-subnet-routes=true
sync|tailscaled device|aks-router north-router|(tailscaled on|device of) north-router|the other site's router disconnected|run_in $NORTH_ROUTER tailscale down
sync|tailscaled device|aks-router dc-router|(tailscaled on|device of) dc-router|tailscaled stopped on a site's router|run_in dc-router systemctl stop tailscaled
sync|route_table|aks-node*|route table stargate-workers-rt|no route of the nodes to a site|no_route $NODE_GROUP 10.244.64.0/18 workers-rt
sync|route_table|aks-node*|route table stargate-workers-rt|no route of the nodes to the other site|no_route $NODE_GROUP 10.244.128.0/18 workers-rt
sync|route_table|aks-router|route table .*router-rt|no route of the AKS router to a node's pods|no_route $NODE_GROUP 10.244.1.0/24 router-rt
sync|route_table|worker-1|route table .*dc-router-rt|no route of a site to a node's pods|no_route $DATACENTER 10.244.0.0/24 rt
sync|route_table|dc-router|route table .*dc-router-rt|no route of a site to a worker's pods|no_route $DATACENTER 10.244.65.0/24 rt
sync|route_table|north-router|route table .*north-router-rt|a route of the other site to a wrong hop|wrong_hop $NORTH 10.244.128.0/24 rt 10.60.1.77
sync|route_table|aks-node*|route table stargate-workers-rt|a route of the nodes to a wrong hop|wrong_hop $NODE_GROUP 10.244.64.0/18 workers-rt 10.237.0.77
sync|route_table|aks-node*|subnet aks-subnet, which has no route table|no table for the nodes' subnet|no_table $(node_subnet)
sync|route_table|aks-router|subnet .*, which has no route table|no table for the AKS router's subnet|no_table $(subnet_id "$NODE_GROUP" aks-router)
sync|route_table|dc-router|subnet .*, which has no route table|no table for a site's subnet|no_table $(subnet_id "$DATACENTER" dc-router)
undo nodes_path|route_table|aks-node*|route table stargate-workers-rt|a narrower route of the nodes|narrower $NODE_GROUP 10.244.64.0/18 workers-rt 10.244.64.0/25|not_narrower $NODE_GROUP 10.244.64.0/18 workers-rt
command router_filter[aks-router]|kernel_route|aks-router|kernel routes of aks-router|a blackhole on the AKS router|kernel_route aks-router add blackhole 10.244.0.0/24|kernel_route aks-router del blackhole 10.244.0.0/24
command router_filter[dc-router]|kernel_route|dc-router|kernel routes of dc-router|an unreachable route on a site's router|kernel_route dc-router add unreachable 10.244.64.0/24|kernel_route dc-router del unreachable 10.244.64.0/24
command router_filter[$NORTH_ROUTER]|kernel_route|north-router|kernel routes of north-router|a prohibiting route on the other site's router|kernel_route $NORTH_ROUTER add prohibit 10.244.128.0/24|kernel_route $NORTH_ROUTER del prohibit 10.244.128.0/24
command router_filter[dc-router]|kernel_route|dc-router|kernel routes of dc-router|a narrower blackhole among a router's routes of the tailnet|kernel_route dc-router add blackhole 10.244.0.0/25 table 52|kernel_route dc-router del blackhole 10.244.0.0/25 table 52
command worker_filter[worker-1]|kernel_route|worker-1|kernel routes of worker-1|a blackhole on a worker|kernel_route worker-1 add blackhole 10.244.1.0/24|kernel_route worker-1 del blackhole 10.244.1.0/24
undo router_filter[aks-router]|firewall|aks-router|chain forward of table ip company on aks-router|a dropping policy on the AKS router|guarded aks-router 'policy drop;'|unguarded aks-router
undo router_filter[$NORTH_ROUTER]|firewall|north-router|chain forward of table ip company on north-router|a dropping policy on the other site's router|guarded $NORTH_ROUTER 'policy drop;'|unguarded $NORTH_ROUTER
undo worker_filter[worker-2]|firewall|worker-2|chain forward of table ip company on worker-2|a dropping policy on a worker|guarded worker-2 'policy drop;'|unguarded worker-2
undo router_filter[aks-router]|firewall|aks-router|chain forward of table ip company on aks-router|a rule against a site's pods on the AKS router|guarded aks-router 'ip saddr 10.244.64.0/18 drop;'|unguarded aks-router
undo router_filter[dc-router]|firewall|dc-router|chain forward of table ip company on dc-router|a rule against a node's pods on a site's router|guarded dc-router 'ip daddr 10.244.1.0/24 drop;'|unguarded dc-router
undo worker_filter[$NORTH_WORKER]|firewall|north-w1|chain forward of table ip company on north-w1|a rule against a node's pods on the other site's worker|guarded $NORTH_WORKER 'ip saddr 10.244.0.0/24 drop;'|unguarded $NORTH_WORKER
sync|path_filter|aks-router|reverse path filter of aks-router|strict path filter of the AKS router with a second interface|strict_filter aks-router 10.244.0.0/24|no_second_interface aks-router
sync|path_filter|dc-router|reverse path filter of dc-router|strict path filter of a site's router with a second interface|strict_filter dc-router 10.244.64.0/24|no_second_interface dc-router
sync|path_filter|north-router|reverse path filter of north-router|strict path filter of the other site's router with a second interface|strict_filter $NORTH_ROUTER 10.244.128.0/24|no_second_interface $NORTH_ROUTER
command|path_filter|worker-1|reverse path filter of worker-1|strict path filter of a worker with a second interface|strict_filter worker-1 10.244.0.0/24|no_second_interface worker-1
command|path_filter|north-w1|reverse path filter of north-w1|strict path filter of the other site's worker with a second interface|strict_filter $NORTH_WORKER 10.244.64.0/18|no_second_interface $NORTH_WORKER
repave worker-1|pod_cidr|aks-node*|pod default/echo-worker-1|pods of a worker with addresses of a prefix that no worker has|other_addresses worker-1 10.244.64.0/24 10.244.70.0/24|other_addresses worker-1 10.244.70.0/24 10.244.64.0/24
repave $NORTH_WORKER|pod_cidr|aks-node*|pod default/echo-north-w1|pods of the other site's worker with addresses outside its site|other_addresses $NORTH_WORKER 10.244.128.0/24 10.244.200.0/24|other_addresses $NORTH_WORKER 10.244.200.0/24 10.244.128.0/24
undo|pod_cidr|aks-node*|pod default/echo-aks-.*|pods of a node of AKS with addresses of a prefix that no node has|other_addresses $(second_node) 10.244.1.0/24 10.244.7.0/24|other_addresses $(second_node) 10.244.7.0/24 10.244.1.0/24
undo|access_rule|north-router|access rules of the tailnet|no access rule of the tailnet|granted '[]'|granted_all
undo|access_rule|aks-router|access rules of the tailnet|access rules for pods of AKS and a site only|granted '[{"src": ["10.244.0.0/17", "10.224.0.0/16", "10.50.1.0/24"], "dst": ["*"], "ip": ["*"]}, {"src": ["*"], "dst": ["10.244.0.0/17"], "ip": ["443"]}]'|granted_all
undo|access_rule|aks-router|access rules of the tailnet|access rules for requests of AKS only|granted '[{"src": ["10.244.0.0/18", "10.224.0.0/16"], "dst": ["*"], "ip": ["tcp:*"]}]'|granted_all
differs cilium|||pod CIDRs of CiliumNode worker-1|no pod CIDR in a CiliumNode|cilium_node worker-1 '{"ipam": {"podCIDRs": null}}'
differs cilium|||pod CIDRs of CiliumNode worker-1|another worker's pod CIDR in a CiliumNode|cilium_node worker-1 '{"ipam": {"podCIDRs": ["10.244.65.0/24"]}}'
differs cilium|||pod CIDRs of CiliumNode aks-.*|the site's pod CIDR in the CiliumNode of a node of AKS|cilium_node $(first_node) '{"ipam": {"podCIDRs": ["10.244.64.0/18"]}}'
T
  [ "$RIG_CNI" != cilium ] || cilium_catalogue
}
# What only Cilium's own agents can do.
cilium_catalogue() { cat <<T
undo|cilium|aks-node*|ConfigMap cilium-config|sources replaced by Cilium to pods of other sites|masqueraded 10.244.0.0/18|not_masqueraded
undo|cilium|aks-node*|ConfigMap cilium-config|sources replaced by Cilium to pods of a site|masqueraded 10.244.128.0/17|not_masqueraded
undo|cilium|aks-node*|ConfigMap cilium-config|sources replaced by Cilium to all pods|masqueraded 10.245.0.0/16|not_masqueraded
T
}

# --- what has to be seen

# sync_ends EXIT
sync_ends() { begin catalogue sync_only; ended catalogue; same "$1" "$(jq .exit "$RUN/catalogue.json")"; }
# probes_mend SURFACES BREAK: whether a probe pod mends it: the CNI plugin turns the kernel's forwarding on for each new pod of a worker
probes_mend() { [[ $2 = kernel_off* && $2 != *router* ]]; }
# is_named STEP: a plan and a sync end with 3, and the step has failed; without one, both have nothing to say
is_named() {
  if [ -z "$1" ]; then planned 0; sync_ends 0; return; fi
  planned 3; sync_ends 3
  jq -e --arg step "$1" 'any(.failures[]; .step == $step)' "$RUN/catalogue.json" || { jq .failures "$RUN/catalogue.json"; return 1; }
}
# named_command: what the trace has named is done, on the machine at which it is
named_command() {
  local command; command=$(jq -er '.report.fault.command | capture("^`sudo (?<command>[^`]*)` on the host").command' "$RUN/trace.json")
  # shellcheck disable=SC2086
  run_in "$(jq -er '.report.fault.at / " " | last' "$RUN/trace.json")" env PATH=/usr/sbin:/usr/bin:/sbin:/bin $command
}
# step_of MENDER: the step that it has after its first word
step_of() { case $1 in *\ *) echo "${1#* }" ;; esac; }
answers() { wait_for 90 "$HERE/matrix.sh" show; }
# differing OBJECT: no pair dies, a trace between the sites passes, and names one object that differs
differing() {
  local from to
  "$HERE/matrix.sh" show
  from=$(near_pod) to=$(far_pod)
  trace "$from" "$to" || { cat "$RUN/trace.json" "$LOGS/trace.log"; return 1; }
  [[ $(jq -r '.report.deviations[].object' "$RUN/trace.json") =~ ^($1)$ ]] || { jq .report "$RUN/trace.json"; return 1; }
}
faced() {   # MENDER SURFACES PLACES OBJECT BREAK UNDO
  eval "$5"
  if [[ $1 = differs* ]]; then
    differing "$4"; planned 2; sync_ends 0
    same "$(step_of "$1")" "$(changed_steps catalogue)"
    answers
    return
  fi
  wait_for 60 some_pair_is_dead
  probes_mend "$2" "$5" || verified
  traced "$2" "$3" "$4"
  case $1 in
  sync) planned 2; sync_ends 0; answers ;;
  command*) is_named "$(step_of "$1")"; named_command; answers ;;
  repave*) is_named ''; complete repaved repave "${1#* }"; kubectl delete pod "echo-${1#* }" --wait; "$HERE/matrix.sh" pods "${1#* }" ;;
  undo*) is_named "$(step_of "$1")" ;;
  esac
  case $1 in repave* | command\ *) ;; *) eval "$6" ;; esac
  answers
}

# recovered UNDO: after a fault that was not faced as it should be
recovered() {
  eval "$1" || true
  sync_ends 0
  answers
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
catalogue > "$RUN/catalogue"
mapfile -t rows < "$RUN/catalogue"
[ ${#numbers[@]} != 0 ] || mapfile -t numbers < <(seq ${#rows[@]})
for number in "${numbers[@]}"; do
  IFS='|' read -r mender surfaces places object what break undo <<< "${rows[number - 1]}"
  before=$failed
  goes_on=yes check "$number: $what" faced "$mender" "$surfaces" "$places" "$object" "$break" "$undo"
  [ "$failed" = "$before" ] || check "$number is mended for the next one" recovered "$undo"
done
check "sync-pod-routes: nothing is left to mend" again sync
[ "$failed" = 0 ]
