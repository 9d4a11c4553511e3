# shellcheck shell=bash disable=SC2034
# What somebody else may do to a deployment: each breaks something, and one sync-pod-routes mends just that. Sourced after runs.sh.
FAULTS=(nic kernel worker_kernel clamp advertisement approval route cilium down stopped disabled)
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
  down) echo "the datacenter's router disconnected by tailscale down" ;;
  stopped) echo "tailscaled stopped on the AKS router" ;;
  disabled) echo "tailscaled not started at boot on the datacenter's router" ;;
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
  down) run_in dc-router tailscale down ;;
  stopped) run_in aks-router systemctl stop tailscaled ;;
  disabled) run_in dc-router systemctl disable tailscaled ;;
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
  down | disabled) echo "router_connected[dc-router] 0 0 0" ;;
  stopped) echo "router_connected[aks-router] 0 0 0" ;;
  esac
}
# mending_touches FAULT: what may change on the machines, as `touched` prints it. What is mended in a kernel or in tailscaled changes no
# file: the files that say the same were right all along.
mending_touches() {
  case $1 in
  stopped) echo "aks-router: tailscaled was started" ;;
  disabled) echo "dc-router: /etc/systemd/system/multi-user.target.wants/tailscaled.service" ;;
  esac
}
# still_alive FAULT: whether no pair dies by it. The agent routes by other means, the other router clamps for both, and a unit that is
# not started at boot runs until then.
still_alive() { case $1 in cilium | clamp | disabled) ;; *) return 1 ;; esac; }
# is_verified FAULT: whether stargate verify is asked about it, too: those that kill different pairs. On a worker, the CNI plugin turns
# forwarding on for each new pod, and so for a probe pod.
is_verified() { case $1 in nic | kernel | approval | route) ;; *) return 1 ;; esac; }
# first_line FAULT: what the first line of a trace says of it: surfaces, places and object, as `traced` takes them
first_line() {
  case $1 in
  nic) echo 'interface_forwarding|aks-node* aks-router|network interface aks-router-nic' ;;
  kernel) echo 'kernel_forwarding|dc-router|kernel of dc-router' ;;
  worker_kernel) echo 'kernel_forwarding|worker-1|kernel of worker-1' ;;
  advertisement) echo 'advertised_route|aks-router|device of dc-router' ;;
  approval) echo 'approved_route|aks-router|device of dc-router' ;;
  route) echo 'route_table|aks-node*|route table stargate-workers-rt' ;;
  down) echo 'tailscaled device|aks-router dc-router|(tailscaled on|device of) dc-router' ;;
  stopped) echo 'tailscaled device|aks-router dc-router|(tailscaled on|device of) aks-router' ;;
  esac
}
traced_fault() { local surfaces places object; IFS='|' read -r surfaces places object < <(first_line "$1"); traced "$surfaces" "$places" "$object"; }
some_pair_is_dead() { ! "$HERE/matrix.sh" show; }
# planned EXIT: a plan of the sync ends so, and writes nothing
planned() {
  local before status=0 arguments
  before=$(writes)
  mapfile -d '' -t arguments < <(sync)
  "${stargate[@]}" plan "${arguments[@]:2}" > "$LOGS/plan.log" 2>&1 || status=$?
  same "$1" "$status" || { tail -40 "$LOGS/plan.log"; return 1; }
  same "$before" "$(writes)"
}
mended() {
  local before after
  broken "$1"
  still_alive "$1" || wait_for 60 some_pair_is_dead
  ! is_verified "$1" || verified
  still_alive "$1" || traced_fault "$1"
  planned 2
  before=$(writes); stamped
  complete mending sync_only     # the writes of a measurement would hide its own
  after=$(writes)
  same "$(mending "$1")" "$(changed_steps mending) $(paste -d' ' <(tr ' ' '\n' <<< "$before") <(tr ' ' '\n' <<< "$after") | awk '{ printf "%s%d", (NR > 1 ? " " : ""), $2 - $1 }')"
  same "$(mending_touches "$1")" "$(touched)"
  wait_for 90 "$HERE/matrix.sh" show
}
# A dropping policy is a decision of whoever keeps the host's firewall: a sync names it with the command that lets the packets pass, ends
# with 3, and leaves it.
firewall_named() {   # MACHINE STEP
  run_in "$1" nft 'add table ip company { chain forward { type filter hook forward priority 10; policy drop; }; }'
  wait_for 60 some_pair_is_dead
  traced firewall "$1" "chain forward of table ip company on $1"
  planned 3
  stamped
  begin firewall sync; ended firewall
  same 3 "$(jq .exit "$RUN/firewall.json")"
  jq -e --arg step "$2[$1]" 'any(.failures[]; .step == $step and (.error | tostring | contains("company")))' "$RUN/firewall.json"
  same '' "$(touched)"
  run_in "$1" nft list table ip company
  run_in "$1" nft delete table ip company
  wait_for 90 "$HERE/matrix.sh" show
}
