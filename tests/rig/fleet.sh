#!/bin/bash
# A whole deployment of two sites by one run of `deploy`, a rolling repave of its workers, its removal, and all of it again, on real
# machines.
#
# fleet.sh [--keep]
#   --keep      leaves all of it up; down.sh ends it
. "$(dirname "$0")/lib.sh"
. "$HERE/world.sh"
keep=''
case ${1:-} in
--keep) keep=yes ;;
'') ;;
*) sed -n '2,6s/^# \?//p' "$0" >&2; exit 64 ;;
esac
. "$HERE/steps.sh"
. "$HERE/runs.sh"
. "$HERE/faults.sh"
. "$HERE/sites.sh"
. "$HERE/verify.sh"
# shellcheck disable=SC2034
MACHINES_OF_OURS=(aks-router dc-router "$NORTH_ROUTER" worker-1 worker-2 "$NORTH_WORKER")

sites() {
  jq -nc --arg cluster "$CLUSTER" --arg location "$LOCATION" --argjson workers "$(workers 2)" --arg router "$NORTH_ROUTER" --arg worker "$NORTH_WORKER" '[
    {name: "dc", resource_group: "\($cluster)-dc", location: $location, network_prefix: "10.50.0.0/16", subnet_prefix: "10.50.1.0/24",
     router: "dc-router", router_ip: "10.50.1.4", pod_block: "10.244.64.0/18", workers: $workers},
    {name: "north", resource_group: "\($cluster)-north", location: $location, network_prefix: "10.60.0.0/16", subnet_prefix: "10.60.1.0/24",
     router: $router, router_ip: "10.60.1.4", pod_block: "10.244.128.0/18", workers: [{name: $worker, private_ip: "10.60.1.5"}]}]'
}
kubelet() {
  printf '%s\0' --input kubelet_version="$(kubelet_version)" --input kubelet_sha256="$(sha256sum < "$BIN/kubelet" | cut -d' ' -f1)" \
    --input kubernetes_mirror=http://192.168.99.1:8088/kubernetes --input cni="$RIG_CNI" --input cgroup_driver=cgroupfs \
    --input pause_image="${1:-registry.k8s.io/pause:3.8}"
}
deployment() {
  cluster_arguments deploy cluster_resource_group; verification; kubelet
  printf '%s\0' --input aks_router=aks-router --input router_subnet=10.237.0.0/24 --input sites="$(sites)" --input ssh_source=198.51.100.0/24 \
    --input ssh_public_key="$(key)" --input admin_username="$ADMIN" --input login_server="$LOGIN_SERVER"
}
rolling() {
  cluster_arguments repave-site cluster_resource_group; verification; kubelet
  printf '%s\0' --input workers='["worker-1", "worker-2"]' --input force=true
}
# half_done: killed once the second site's router boots, the run goes on
resumed() { start "$1" resume @latest -o json; finished "$1"; }
half_done() { begin deployment deployment; killed_when deployment boots "$NORTH_ROUTER"; }
# a node whose record is gone is repaved, one after the other; the echo pods on them are nobody's
unrecorded() { kubectl annotate node "$1" stargate.io/configuration-; }
rolled() {
  unrecorded worker-1; unrecorded worker-2
  complete rolling rolling
  # The second worker is cordoned after the first one has ended.
  jq -r 'select(.event == "step_started" or .event == "step_succeeded").step' "$LOGS/rolling.log" | sed 's/^repave\[\([^]]*\)\].*/\1/' | uniq > "$RUN/rolled"
  same "worker-1 worker-2" "$(paste -sd' ' "$RUN/rolled")"
}
teardown() {
  cluster_arguments teardown cluster_resource_group
  printf '%s\0' --input router_subnet=10.237.0.0/24 --input sites="$(sites)" --input force=true
}
nothing_left() {
  same '' "$(arm GET resourcegroups | jq -r '.value[].name' | grep -E -e '-(dc|north)$')"
  same '' "$(arm GET resources | jq -r '.value[] | select((.tags // {})["stargate-owner"]).id')"
  same '' "$(kubectl get nodes -o name | grep -v /aks-)"
  same '' "$(kubectl get crd -o name | grep stargate)"
  same '' "$(kubectl get leases,configmaps,serviceaccounts,roles,rolebindings -n kube-system -o name | grep stargate)"
  same '' "$(kubectl get clusterroles,clusterrolebindings -o name | grep stargate)"
}

claim
trap finish EXIT
cluster_is_up
check "deploy: killed while the second site is created" half_done
check "stargate resume: the deployment of two sites is complete" resumed deployment
check "25 of 25 pod pairs answer with their source addresses kept" all_pairs 25
check "stargate verify: all pairs of pods and nodes answer" all_alive
check "deploy again: nothing changed, nothing was written anywhere" again deployment
check "repave-site: two workers, one after the other" rolled
check "25 of 25 pod pairs answer after it" all_pairs 25
check "deploy again: nothing changed" again deployment
check "teardown: all of it is removed" complete teardown teardown
check "nothing of the deployment is left in Azure and in the cluster" nothing_left
check "teardown again: nothing changed, nothing was written anywhere" again teardown
check "deploy: all of it is made again" complete anew deployment
check "25 of 25 pod pairs answer as before" all_pairs 25
[ "$failed" = 0 ]
