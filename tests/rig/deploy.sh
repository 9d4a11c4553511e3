#!/bin/bash
# The whole deployment by stargate alone, from nothing but a cluster with two nodes: routers, datacenter, workers, nodes, routes; killed
# and resumed on the way. Then everything is run again, broken, mended, extended and restarted. Every pod answers every pod at the end
# of each. The site's pods are announced by one prefix, its site pod CIDR 10.244.64.0/18: the strategy per_site, which is the default.
#
# deploy.sh [--keep] [--cilium] [--states]
#   --keep      leaves all of it up; down.sh ends it
#   --cilium    with Cilium's own agents on every node
#   --states    and every broken state of states.sh, 2 min more
. "$(dirname "$0")/lib.sh"
. "$HERE/world.sh"
keep='' broken_states=''
while [ $# -gt 0 ]; do
  case $1 in
  --keep) keep=yes ;;
  --cilium) export RIG_CNI=cilium ;;
  --states) broken_states=yes ;;
  *) sed -n '2,9s/^# \?//p' "$0" >&2; exit 64 ;;
  esac
  shift
done
. "$HERE/steps.sh"
. "$HERE/runs.sh"
. "$HERE/faults.sh"
. "$HERE/states.sh"
. "$HERE/sites.sh"
. "$HERE/verify.sh"
. "$HERE/trace.sh"
. "$HERE/journals.sh"

datacenter_killed() { begin dc-first datacenter 2; killed_when dc-first boots dc-router; }
datacenter_killed_again() { start dc-second resume @latest -o json; killed_when dc-second device dc-router; }
resumed() { start "$1" resume @latest -o json; finished "$1"; }
repave_killed() { begin worker-first repave worker-1; killed_when worker-first kubectl get node worker-1; }

# The API server reaches the kubelets of both sides: over it, a pod of each asks one of the other.
asked() {
  complete asks asks
  same "$(far_pod) $(address_of "$(near_pod)") 0" "$(jq -er .outputs.near_heard "$RUN/asks.json")"
  same "$(near_pod) $(address_of "$(far_pod)") 0" "$(jq -er .outputs.far_heard "$RUN/asks.json")"
  same "told by $(near_pod)" "$(jq -er .outputs.told "$RUN/asks.json")"
}
kubectl_executes() {
  local pod status
  for pod in "$(near_pod)" "$(far_pod)"; do
    kubectl logs "$pod"
    same "$pod 127.0.0.1 0" "$(kubectl exec "$pod" -- /echo get http://127.0.0.1:8080/)"
    status=0; kubectl exec "$pod" -- /echo has /nothing || status=$?
    same 1 "$status"
    same "$pod" "$(kubectl exec -i "$pod" -- /echo copy <<< "$pod")"
  done
}

third_worker() {
  begin dc-third datacenter 3; finished dc-third
  "$HERE/kube.sh" sign 3m     # so that its kubelet has to renew its certificates while somebody looks
  begin worker-third repave worker-3; finished worker-third
  "$HERE/kube.sh" sign 8760h
  begin sync-third sync; finished sync-third
}
# certificate_of WHICH: the file of worker-3's kubelet that is in use, which has the time of its making in its name
certificate_of() { run_in worker-3 readlink "/var/lib/kubelet/pki/kubelet-$1-current.pem"; }
is_renewed() { [ "$(certificate_of "$1")" != "$2" ]; }
asks_to_serve() {
  kubectl get csr -o json | jq -e 'any(.items[]; .spec.username == "system:node:worker-3" and
    .spec.signerName == "kubernetes.io/kubelet-serving" and .status.conditions == null)'
}
# The first certificates are for three minutes. The cluster's own controller approves the next client certificate, by the role that
# cluster-objects binds, and nobody but a sync the next serving certificate.
certificates_renewed() {
  local client server; client=$(certificate_of client) server=$(certificate_of server)
  wait_for 200 asks_to_serve
  complete certificates sync
  same certificates "$(changed_steps certificates)"
  wait_for 120 is_renewed server "$server"
  wait_for 120 is_renewed client "$client"
  kubectl exec echo-worker-3 -- /echo has /echo
}
third_worker_leaves() {
  begin leave removal worker-3; finished leave
  same '' "$(kubectl get nodes,servers -o name | grep worker-3)"
  ! run_in worker-3 systemctl is-active kubelet
}
# AKS takes the last node away and brings another one, with another name, address and pod CIDR.
node_replaced() {
  local network gone; network=$(network_name); gone=$(instances | tail -1 | cut -d' ' -f1)
  "$HERE/aks.sh" remove "$network" "$gone"
  "$HERE/aks.sh" node "$network" aks-subnet "${gone%?}7" 10.224.0.9/16 10.244.7.0/24
  nodes_ready
  wait_for 120 approved_all
  begin sync-replaced sync; finished sync-replaced
}
approved_all() { "$HERE/aks.sh" approve; kubectl get csr -o json | jq -e 'all(.items[]; .status.certificate)'; }
# nothing_mentions PREFIX: on no surface
nothing_mentions() {
  local found=()
  for group in "$NODE_GROUP" "$DATACENTER"; do
    ! arm GET "resourceGroups/$group/providers/Microsoft.Network/routeTables" | grep -F "$1" || found+=("route tables of $group")
  done
  ! tailnet 'tailnet/-/devices?fields=all' | grep -F "$1" || found+=(tailnet)
  ! kubectl get ciliumnodes,nodes -o json | grep -F "$1" || found+=(cluster)
  [ ${#found[@]} = 0 ] || { echo "still in: ${found[*]}"; return 1; }
}

claim
trap finish EXIT
cluster_is_up
check "provision-aks-router" complete aks-router aks_router
check "provision-dc is killed when the router's machine boots" datacenter_killed
check "resumed, it is killed again when the router has joined the tailnet" datacenter_killed_again
check "resumed, it ends well" resumed dc-resumed
check "repave-worker worker-1 is killed when its node registers" repave_killed
check "resumed, it ends well" resumed worker-resumed
check "repave-worker worker-2" complete worker-2 repave worker-2
check "16 of 16 pod pairs answer with their source addresses kept" all_pairs 16
[ "$RIG_CNI" != cilium ] || check "it is Cilium's agents that carry them" cilium_carries
check "provision-aks-router again: nothing changed, nothing was written anywhere" again aks_router
check "provision-dc again: nothing changed, nothing was written anywhere" again datacenter 2
for worker in worker-1 worker-2; do
  check "repave-worker $worker again: nothing changed, nothing was written anywhere" again repave "$worker"
done
check "sync-pod-routes: nothing changed, nothing was written anywhere" again sync
check "a pod on each side asks one on the other, by kubernetes.pod.exec" asked
check "they have asked: nothing changed, nothing was written anywhere" again asks
check "kubectl reads logs and runs commands on both sides" kubectl_executes
check "stargate verify: all pairs of pods and nodes answer, and nothing is left of it" all_alive
check "stargate trace: packets pass between the sites, inside them, and between machines" traces_pass
for fault in "${FAULTS[@]}"; do
  check "$(said "$fault"): one sync mends that, and touches only that" mended "$fault"
done
for firewall in "dc-router router_filter" "worker-1 worker_filter"; do
  # shellcheck disable=SC2086
  check "a firewall that drops what ${firewall% *} forwards: one sync names it, and leaves it" firewall_named $firewall
done
[ -z "$broken_states" ] || states
check "sync-pod-routes: nothing is left to mend" again sync
check "a sync of a second journal is refused while one works, and names it" second_journal_is_refused
check "that one is killed: the second journal waits for the end of its Lease, and goes on" second_journal_goes_on
check "a third worker joins" third_worker
check "25 of 25 pod pairs answer with their source addresses kept" all_pairs 25
check "its kubelet renews both certificates; one sync approves, and changes nothing else" certificates_renewed
check "a node of AKS is replaced by another; one sync" node_replaced
check "25 of 25 pod pairs answer with their source addresses kept" all_pairs 25
check "no surface mentions the old node's pods" nothing_mentions 10.244.1.0/24
check "the third worker leaves" third_worker_leaves
check "16 of 16 pod pairs answer with their source addresses kept" all_pairs 16
check "no surface mentions its pods" nothing_mentions 10.244.66.0/24
check "remove-worker worker-3 again: nothing changed, nothing was written anywhere" again removal worker-3
for machine in aks-router dc-router worker-1; do
  check "$machine restarts, and 16 of 16 pod pairs answer again" restarted_well "$machine" 16
done
[ "$RIG_CNI" != cilium ] || check "it is Cilium's agents that carry them still" cilium_carries
check "provision-dc: a second site with a router and a worker" second_site
check "repave-worker north-w1" north_worker
check "25 of 25 pod pairs answer with their source addresses kept" all_pairs 25
check "its router is off, the first site has three faults: one sync mends those, and ends with 3 within 60 s" one_site_off
check "its router is on again: one sync" north_router_on
check "25 of 25 pod pairs answer with their source addresses kept" all_pairs 25
