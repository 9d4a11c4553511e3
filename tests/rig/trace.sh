# shellcheck shell=bash
# What `stargate trace` says of a pair, beside what is true. Sourced after runs.sh.

# trace FROM TO: the report in RUN/trace.json; ends as stargate does
trace() {
  "${stargate[@]}" trace "$1" "$2" -o json --input cluster="$CLUSTER" --input cluster_resource_group="$CLUSTER" \
    > "$RUN/trace.json" 2> "$LOGS/trace.log"
}
# faulty_surfaces FAULT: the surfaces that a trace may name for it
faulty_surfaces() {
  case $1 in
  nic) echo interface_forwarding ;;
  kernel | worker_kernel) echo kernel_forwarding ;;
  advertisement) echo advertised_route ;;
  approval) echo approved_route ;;
  route) echo route_table ;;
  down | stopped) echo tailscaled device ;;
  firewall) echo firewall ;;
  esac
}
# traced FAULT: the first dead pair is blocked by the surface of the fault
traced() {
  local from to status=0 surface
  read -r from to < <("$HERE/matrix.sh" dead)
  trace "$from" "$to" || status=$?
  surface=$(jq -r '.report.fault.surface' "$RUN/trace.json")
  same 3 "$status" || { cat "$RUN/trace.json" "$LOGS/trace.log"; return 1; }
  [[ " $(faulty_surfaces "$1") " == *" $surface "* ]] || { jq .report.fault "$RUN/trace.json"; return 1; }
}
# Both ways between the sites, inside each, and between machines.
traces_pass() {
  local pair
  for pair in "$(near_pod) $(far_pod)" "$(far_pod) $(near_pod)" 'echo-worker-1 echo-worker-2' "worker-1 $(instances | head -1 | cut -d' ' -f1)"; do
    # shellcheck disable=SC2086
    trace $pair || { jq .report "$RUN/trace.json"; cat "$LOGS/trace.log"; return 1; }
  done
}
