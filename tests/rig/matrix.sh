#!/bin/bash
# Which pods reach which: an HTTP request of a mebibyte from every echo pod to every echo pod, and whether the answer, a mebibyte too, came
# from it and saw the sender's own address. A ping would pass where a full packet does not.
#
# matrix.sh pods [NODE...]     puts a pod on each node (all of the cluster's), waits until they run
# matrix.sh show               a line per pair: from, to, the address seen or DEAD; ends well if every pair is good
# matrix.sh dead               only the dead pairs
#
# Requests are made in the pod's own network namespace: found by the pod's uid in the cgroups of its processes.
. "$(dirname "$0")/lib.sh"
kubectl() { inside inet "$BIN/kubectl" --kubeconfig "$RUN/kubeconfig" "$@"; }
nodes() { kubectl get nodes -o json | jq -r '.items[].metadata.name'; }

pod() { cat <<P
---
apiVersion: v1
kind: Pod
metadata: {name: echo-$1, labels: {app: echo}}
spec:
  nodeName: $1
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 1
  dnsPolicy: Default
  tolerations: [{operator: Exists}]
  containers: [{name: echo, image: "stargate.test/echo:1", imagePullPolicy: IfNotPresent}]
P
}
pods() {
  local node
  [ $# -gt 0 ] || mapfile -t all < <(nodes)
  for node in "$@" "${all[@]}"; do pod "$node"; done | kubectl apply -f - >/dev/null
  kubectl wait --for=condition=Ready pod -l app=echo --timeout=240s >/dev/null
}

# running_pods: NAME ADDRESS UID per line
running_pods() {
  kubectl get pods -l app=echo -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null) |
    "\(.metadata.name) \(.status.podIP // "-") \(.metadata.uid)"' | sort
}
# process UID: a process of the pod
process() { local file; file=$(grep -lE "pod${1//-/[-_]}" /proc/[0-9]*/cgroup 2>/dev/null | head -1); [ -n "$file" ] && cut -d/ -f3 <<< "$file"; }
MEBIBYTE=1048576
# heard: the first line of what was answered, and how much came after it
heard() { local line; IFS= read -r line && echo "$line $(wc -c)"; }
# request PROCESS ADDRESS: what the pod there answers; what hangs for 5 s gives nothing
request() {
  nsenter --net="/proc/$1/ns/net" -- curl -s --noproxy '*' --connect-timeout 4 --speed-limit 1 --speed-time 5 -m 60 \
    --data-binary "@$RUN/mebibyte" "http://$2:8080/" | heard || true
}
# ask FROM ADDRESS PROCESS TO ADDRESS: one pair. It is dead if two requests in turn give nothing: on a busy host one may.
ask() {
  local answer verdict
  [ -n "$3" ] || { printf '%s %s - DEAD: the sender does not run\n' "$1" "$4"; return; }
  answer=$(request "$3" "$5")
  [ -n "$answer" ] || answer=$(request "$3" "$5")
  case $answer in
  "$4 $2 $MEBIBYTE $MEBIBYTE") verdict=ok ;;
  "") verdict='DEAD: no answer' ;;
  *) verdict="DEAD: answered \"$answer\"" ;;
  esac
  printf '%s %s %s %s\n' "$1" "$4" "$(cut -d' ' -f2 <<< "$answer")" "$verdict"
}
# ask_all FROM ADDRESS UID: every pod, at once
ask_all() {
  local process to far; process=$(process "$3" || true)
  while read -r to far _; do ask "$1" "$2" "$process" "$to" "$far" & done < "$RUN/pods"
  wait
}
show() {
  local from address uid to good total
  running_pods > "$RUN/pods"
  head -c "$MEBIBYTE" /dev/zero > "$RUN/mebibyte"
  while read -r from address uid; do ask_all "$from" "$address" "$uid" & done < "$RUN/pods" > "$RUN/matrix"
  wait
  sort -o "$RUN/matrix" "$RUN/matrix"
  while read -r from to address verdict; do printf '%-32s -> %-32s %-15s %s\n' "$from" "$to" "$address" "$verdict"; done < "$RUN/matrix"
  good=$(grep -c ' ok$' "$RUN/matrix" || true) total=$(wc -l < "$RUN/matrix")
  echo "$good of $total pod pairs answer, source addresses kept"
  [ "$good" = "$total" ] && [ "$total" -gt 0 ]
}
dead() { show >/dev/null || true; grep -v ' ok$' "$RUN/matrix" | cut -d' ' -f1,2 || true; }

all=()
case ${1:-} in
pods | show | dead) "$@" ;;
*) sed -n '2,10s/^# \?//p' "$0" >&2; exit 64 ;;
esac
