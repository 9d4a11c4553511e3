# shellcheck shell=bash
# What `stargate verify` says, beside what is true: the HTTP requests of matrix.sh. Sourced after runs.sh.

# There is no kube-proxy and no DNS in the rig's cluster.
measured() {
  "${stargate[@]}" verify -o json --image stargate.test/agnhost:1 --checks nodes,kubelet > "$RUN/verify.json" 2> "$LOGS/verify.log"
}
# measured_pairs CHARACTERS: pairs of the matrix with one of them, as matrix.sh names pairs
measured_pairs() {
  jq -r --arg characters "$1" '.report | [.nodes[].name] as $names | .matrix | to_entries[] | .key as $from | .value / "" | to_entries[] |
    select(.value as $cell | $characters | contains($cell)) | "echo-\($names[$from]) echo-\($names[.key])"' "$RUN/verify.json" | sort
}
left_of_measurement() { kubectl get jobs,pods,services,networkpolicies -l stargate.io/measurement -o name; }
# What it calls dead is dead, what it calls alive is alive, and nothing is left of it. What it cannot ask, because the API server does
# not reach a kubelet either, it calls neither.
verify_is_true() {
  local dead status=0
  dead=$("$HERE/matrix.sh" dead | sort)
  measured || status=$?
  gone() { [ -z "$(left_of_measurement)" ]; }
  # One expression: where a function is a condition, the shell does not end at its first failure.
  same '' "$(comm -23 <(measured_pairs xl) <(echo "$dead"))" &&
    same '' "$(comm -12 <(measured_pairs .) <(echo "$dead"))" &&
    same "$([ -n "$dead" ] && echo 3 || echo 0)" "$status" &&
    wait_for 30 gone
}
# Another party may change something between the two: the second time nobody does.
verified() { verify_is_true || verify_is_true || { cat "$RUN/verify.json" "$LOGS/verify.log"; return 1; }; }
all_alive() { verified && same '' "$(measured_pairs 'xls? ')"; }
