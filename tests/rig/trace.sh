# shellcheck shell=bash
# What `stargate trace` says of a pair, beside what is true. Sourced after runs.sh.

# trace FROM TO: the report in RUN/trace.json; ends as stargate does
trace() {
  "${stargate[@]}" trace "$1" "$2" -o json --input cluster="$CLUSTER" --input cluster_resource_group="$CLUSTER" \
    > "$RUN/trace.json" 2> "$LOGS/trace.log"
}
# way FROM TO: the machines that a packet between two machines passes, as the rig has put them
site_of() { case $1 in aks-*) echo aks ;; north-*) echo north ;; *) echo dc ;; esac; }
way() {
  local from to; from=$(site_of "$1") to=$(site_of "$2")
  if [ "$from" = "$to" ]; then echo "$1 $2"; else echo "$1 $from-router $to-router $2"; fi
}
# one_of WORD PATTERN...
one_of() { local word=$1 pattern; shift; for pattern; do [[ $word != $pattern ]] || return 0; done; return 1; }
# traced SURFACES PLACES OBJECT: the first dead pair is blocked: the first line names one of the surfaces, the object (a regular expression),
# and the hop at which the packet passes one of the places, which are machines' names or patterns of them
traced() {
  local from to status=0 surface reply hop at object passed
  read -r from to < <("$HERE/matrix.sh" dead)
  trace "$from" "$to" || status=$?
  same 3 "$status" || { cat "$RUN/trace.json" "$LOGS/trace.log"; return 1; }
  IFS='|' read -r surface reply hop at object < <(jq -r '.report.fault | "\(.surface)|\(.of_reply)|\(.hop)|\(.at)|\(.object)"' "$RUN/trace.json")
  at=${at##* }
  if [ "$reply" = true ]; then read -ra passed < <(way "${to#echo-}" "${from#echo-}"); else read -ra passed < <(way "${from#echo-}" "${to#echo-}"); fi
  # shellcheck disable=SC2086
  { one_of "$surface" $1 && one_of "$at" $2 && same "${passed[hop - 1]:-}" "$at" && [[ $object =~ ^($3)$ ]]; } ||
    { echo "expected: $1 at $2: $3"; jq '.report | {from, to, fault}' "$RUN/trace.json"; return 1; }
}
# Both ways between the sites, inside each, and between machines.
traces_pass() {
  local pair
  for pair in "$(near_pod) $(far_pod)" "$(far_pod) $(near_pod)" 'echo-worker-1 echo-worker-2' "worker-1 $(instances | head -1 | cut -d' ' -f1)"; do
    # shellcheck disable=SC2086
    trace $pair || { jq .report "$RUN/trace.json"; cat "$LOGS/trace.log"; return 1; }
  done
}
