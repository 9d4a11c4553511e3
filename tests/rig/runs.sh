# shellcheck shell=bash disable=SC2034
# How each workflow is run here, and how it is seen that a run has written nothing. Sourced after lib.sh, world.sh and steps.sh.
ADMIN=ubuntu DATACENTER=$CLUSTER-dc LOCATION=canadacentral
MACHINES_OF_OURS=(aks-router dc-router worker-1 worker-2)
key() { cat "$RUN/id.pub"; }
# workers COUNT: as JSON
workers() { seq "$1" | jq -sc 'map({name: "worker-\(.)", private_ip: "10.50.1.\(. + 4)"})'; }
kubelet_version() { cut -d' ' -f2 < <("$BIN/kubelet" --version); }

# The arguments of each, with a NUL after every one.
cluster_arguments() { printf '%s\0' run workflow "$1" -o json --input cluster="$CLUSTER" --input "$2=$CLUSTER"; }
# There is no kube-proxy and no DNS in the rig's cluster.
verification() { printf '%s\0' --input verify_image=stargate.test/agnhost:1 --input 'verify_checks=["nodes","kubelet"]'; }
aks_router() {
  cluster_arguments provision-aks-router resource_group
  printf '%s\0' --input router=aks-router --input router_subnet=10.237.0.0/24 --input admin_username="$ADMIN" \
    --input ssh_source=198.51.100.0/24 \
    --input login_server="$LOGIN_SERVER" --input ssh_public_key="$(key)"
}
datacenter() {   # WORKERS
  cluster_arguments provision-dc cluster_resource_group; verification
  printf '%s\0' --input site=dc --input resource_group="$DATACENTER" --input location="$LOCATION" --input router=dc-router \
    --input workers="$(workers "$1")" --input ssh_source=198.51.100.0/24 --input ssh_public_key="$(key)" \
    --input admin_username="$ADMIN" --input login_server="$LOGIN_SERVER"
}
repave() {       # WORKER
  cluster_arguments repave-worker cluster_resource_group; verification
  printf '%s\0' --input worker="$1" --input kubelet_version="$(kubelet_version)" --input kubelet_sha256="$(sha256sum < "$BIN/kubelet" | cut -d' ' -f1)" \
    --input kubernetes_mirror=http://192.168.99.1:8088/kubernetes --input cni="$RIG_CNI" --input cgroup_driver=cgroupfs \
    --input pause_image=registry.k8s.io/pause:3.8
}
removal() {      # WORKER; the echo pod on it is nobody's
  cluster_arguments remove-worker cluster_resource_group; verification
  printf '%s\0' --input worker="$1" --input force=true
}
sync() { cluster_arguments sync-pod-routes cluster_resource_group; verification; }
sync_only() { sync; printf '%s\0' --input verify=false; }
near_pod() { echo "echo-$(instances | head -1 | cut -d' ' -f1)"; }
far_pod() { echo echo-worker-1; }
address_of() { kubectl get pod "$1" -o jsonpath='{.status.podIP}'; }
asks() {
  printf '%s\0' run workflow "$HERE/asks.yaml" -o json --input near="$(near_pod)" --input near_ip="$(address_of "$(near_pod)")" \
    --input far="$(far_pod)" --input far_ip="$(address_of "$(far_pod)")"
}

# begin NAME WHAT...: stargate with the arguments that WHAT prints, in the background
begin() { local name=$1 arguments; shift; mapfile -d '' -t arguments < <("$@"); start "$name" "${arguments[@]}"; }
# complete NAME WHAT...: to its end
complete() { begin "$@"; finished "$1"; }
# changed_steps NAME: which steps of a run that has ended changed something
changed_steps() {
  jq -r --slurpfile result "$RUN/$1.json" 'select(.run == $result[0].run and .event == "step_succeeded" and (.changes | length > 0)).step' \
    "$LOGS/$1.log" | sort -u | paste -sd, -
}
# killed_when NAME CONDITION...: SIGKILL to the run as soon as the condition holds
killed_when() {
  local name=$1; shift
  wait_for 240 "$@" || { tail -20 "$LOGS/$name.log"; return 1; }
  running "$name" || { echo "it ended before:"; tail -20 "$LOGS/$name.log"; return 1; }
  halt "$name" KILL
}
boots() { jq -e --arg name "$1" '.machines[$name]' "$RUN/follow.json"; }

# writes: how many there were so far, to Azure, the tailnet and the cluster; the leases of locks say who works, and are none
writes() {
  local azure tailnet cluster
  azure=$(world counters | jq -e .mutating) tailnet=$(inside inet curl -sf "$LOGIN_SERVER/_counters" | jq -e .mutating)
  cluster=$(jq -s '[.[] | select((.userAgent // "" | startswith("stargate/")) and .responseStatus.code < 300 and .objectRef.resource != "leases")] | length' "$RUN/kube/audit.log")
  [ "$cluster" -gt 0 ] && echo "$azure $tailnet $cluster"
}
# stamped: from now on changes on the machines can be told
stamped() { for machine in "${MACHINES_OF_OURS[@]}"; do run_in "$machine" touch /run/rig-stamp; done; }
# touched: files of the machines' configuration that have changed since, by their inodes' times, which no tool that unpacks or copies
# can set; and units that have been started
touched() {
  for machine in "${MACHINES_OF_OURS[@]}"; do
    # shellcheck disable=SC2016
    run_in "$machine" sh -c 'find /etc /usr/local /usr/lib/systemd /usr/lib/cni /opt /run/stargate /var/lib/dpkg/status /var/lib/kubelet/kubeconfig /var/lib/kubelet/pki -cnewer /run/rig-stamp ! -type d 2>/dev/null
      since=$(stat -c %Y /run/rig-stamp)
      for unit in containerd kubelet tailscaled; do
        at=$(date -d "$(systemctl show -p ActiveEnterTimestamp --value $unit)" +%s 2>/dev/null) && [ "$at" -gt "$since" ] && echo "$unit was started"
      done; true' | sed "s/^/$machine: /"
  done
}
# again WHAT...: the same run once more says that nothing changed, and nobody was written to
again() {
  local before; before=$(writes); stamped
  complete again "$@"
  jq -e '.changed == false' "$RUN/again.json"
  same "$before" "$(writes)"
  same '' "$(touched)"
}
