#!/bin/bash
# The whole deployment by stargate, from nothing but a cluster with two nodes: routers, datacenter, workers, routes; killed and resumed
# on the way. It ends when every pod answers every pod, when a second run changes nothing, and when that outlives restarts.
#
# deploy.sh [--keep]     --keep leaves all of it up; down.sh ends it
#
# What no workflow does yet is done by hand here, and said so in the line of its check.
. "$(dirname "$0")/lib.sh"
. "$HERE/world.sh"
. "$HERE/steps.sh"
keep=''
case ${1:-} in
--keep) keep=yes ;;
'') ;;
*) sed -n '2,7s/^# \?//p' "$0" >&2; exit 64 ;;
esac

ADMIN=ubuntu DATACENTER=$CLUSTER-dc LOCATION=canadacentral
WORKERS=(worker-1=10.50.1.5=10.244.64.0/24 worker-2=10.50.1.6=10.244.65.0/24)
key() { cat "$RUN/id.pub"; }
# nodes_json: address and pod block of every AKS node, as Azure's agents tell
nodes_json() { kubectl get nnc -n kube-system -o json | jq -c '[.items[].status.networkContainers[0] | {ip: .nodeIP, pod_cidr: .primaryIP}]'; }
workers_json() { printf '%s\n' "${WORKERS[@]}" | jq -R '. / "=" | {name: .[0], private_ip: .[1]}' | jq -sc .; }
blocks_json() { printf '%s\n' "${WORKERS[@]}" | jq -R '. / "=" | {(.[0]): .[2]}' | jq -sc add; }

aks_router_arguments() {
  printf '%s\0' run workflow provision-aks-router -o json --input cluster="$CLUSTER" --input resource_group="$CLUSTER" --input router=aks-router \
    --input router_subnet=10.237.0.0/24 --input admin_username="$ADMIN" --input login_server="$LOGIN_SERVER" --input ssh_public_key="$(key)" \
    --input datacenter_prefixes='["10.50.1.0/24"]'
}
datacenter_arguments() {
  printf '%s\0' run workflow provision-dc -o json --input cluster="$CLUSTER" --input cluster_resource_group="$CLUSTER" \
    --input aks_router_ip=10.237.0.4 --input aks_router_subnet=10.237.0.0/24 --input aks_nodes="$(nodes_json)" \
    --input resource_group="$DATACENTER" --input location="$LOCATION" --input router=dc-router --input workers="$(workers_json)" \
    --input pod_cidrs="$(blocks_json)" --input ssh_public_key="$(key)" --input admin_username="$ADMIN" --input login_server="$LOGIN_SERVER"
}
# begin NAME WHAT: stargate with the arguments that WHAT prints, in the background
begin() { local arguments; mapfile -d '' -t arguments < <("$2"); start "$1" "${arguments[@]}"; }
aks_router() { begin aks-router aks_router_arguments; finished aks-router; }
# killed_when CONDITION...: SIGKILL to the run NAME as soon as the condition holds
killed_when() {
  local name=$1; shift
  wait_for 120 "$@" || { cat "$LOGS/$name.log"; return 1; }
  running "$name" || { cat "$LOGS/$name.log"; return 1; }
  halt "$name" KILL
}
boots() { jq -e --arg name "$1" '.machines[$name]' "$RUN/follow.json"; }
datacenter_killed() { begin dc-first datacenter_arguments; killed_when dc-first boots dc-router; }
datacenter_killed_again() { start dc-second resume @latest -o json; killed_when dc-second boots worker-2; }
datacenter_resumed() { start dc-resumed resume @latest -o json; finished dc-resumed; }

# --- by hand, until a workflow does it

node_by_hand() {
  "$HERE/aks.sh" config "$1" "$2" "$3" kubernetes.azure.com/managed=false,kubernetes.azure.com/stargate=true | tail -n +2 |
    run_in "$1" sh -euc '
      cat > /run/node.json
      jq -c ".write_files[]" /run/node.json | while IFS= read -r file; do
        path=$(printf %s "$file" | jq -r .path); mkdir -p "$(dirname "$path")"
        printf %s "$file" | jq -r "if .encoding then .content | @base64d else .content end" > "$path"
      done
      jq -r ".runcmd[] | @sh" /run/node.json | sh -eu
      rm /run/node.json'
  "$HERE/aks.sh" agent "$1" "$2"
}
workers_by_hand() {
  local worker name address block
  for worker in "${WORKERS[@]}"; do IFS='=' read -r name address block <<< "$worker"; node_by_hand "$name" "$address" "$block"; done
  nodes_ready
}
aks_blocks_by_hand() {
  local prefixes=(10.224.0.0/16 10.237.0.0/24) block
  while read -r block; do prefixes+=("$block"); done < <(nodes_json | jq -r '.[].pod_cidr')
  run_in aks-router tailscale set --advertise-routes="$(IFS=,; echo "${prefixes[*]}")"
  approve aks-router "${prefixes[@]}"
}

# --- again

writes() { printf '%s %s' "$(world counters | jq .mutating)" "$(inside inet curl -sf "$LOGIN_SERVER/_counters" | jq .mutating)"; }
# again NAME WHAT: the same run once more says that nothing changed, and nobody was written to
again() {
  local before; before=$(writes)
  begin "$1" "$2"; finished "$1"
  jq -e '.changed == false' "$RUN/$1.json"
  same "$before" "$(writes)"
}

trap finish EXIT
cluster_is_up
check "provision-aks-router" aks_router
check "provision-dc is killed when the router's machine boots" datacenter_killed
check "resumed, it is killed again when the last worker's machine boots" datacenter_killed_again
check "resumed, it ends well" datacenter_resumed
check "by hand: the workers become nodes" workers_by_hand
check "by hand: the AKS nodes' pod blocks are advertised" aks_blocks_by_hand
check "16 of 16 pod pairs answer with their source addresses kept" all_pairs
check "provision-dc again: nothing changed, nothing was written" again dc-again datacenter_arguments
for machine in aks-router dc-router worker-1; do
  check "$machine restarts" restarted "$machine"
  check "16 of 16 pod pairs answer again" all_pairs
done
