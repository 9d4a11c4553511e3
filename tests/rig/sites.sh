# shellcheck shell=bash
# A second datacenter site, north, and what happens when its router is off. Sourced after runs.sh and faults.sh.
NORTH_ROUTER=north-router NORTH_WORKER=north-w1

north() {
  cluster_arguments provision-dc cluster_resource_group; verification
  printf '%s\0' --input site=north --input resource_group="$CLUSTER-north" --input location="$LOCATION" --input router="$NORTH_ROUTER" \
    --input network_prefix=10.60.0.0/16 --input subnet_prefix=10.60.1.0/24 --input router_ip=10.60.1.4 --input pod_block=10.244.128.0/18 \
    --input workers="[{\"name\": \"$NORTH_WORKER\", \"private_ip\": \"10.60.1.5\"}]" --input ssh_source=198.51.100.0/24 \
    --input ssh_public_key="$(key)" --input admin_username="$ADMIN" --input login_server="$LOGIN_SERVER"
}
second_site() { complete north-first north; }
# How long a sync takes here that has nothing to do is kept, in seconds.
north_worker() {
  local began
  complete north-worker repave "$NORTH_WORKER"; complete north-sync sync
  began=$SECONDS
  again sync
  echo $((SECONDS - began)) > "$RUN/north-sync.seconds"
}
# A minute, or more on a machine on which a sync that has nothing to do takes more than 5 s.
limit() { local seconds; seconds=$(($(cat "$RUN/north-sync.seconds") * 12)); echo $((seconds > 60 ? seconds : 60)); }

# group NAME: what the run's report says of the group, as JSON
group() { jq -e --arg name "$1" '.groups[] | select(.name == $name)' "$RUN/one-site-off.json"; }
# Only the site whose router is off has failures; everything of the other site is mended, and each of its pairs answers.
one_site_off() {
  local began
  "$HERE/machine.sh" stop "$NORTH_ROUTER"
  for fault in route approval worker_kernel; do broken "$fault"; done
  wait_for 60 some_pair_of_dc_is_dead
  began=$SECONDS
  begin one-site-off sync; ended one-site-off
  same 3 "$(jq .exit "$RUN/one-site-off.json")"
  [ $((SECONDS - began)) -le "$(limit)" ] || { echo "it took $((SECONDS - began)) s, of $(limit)"; return 1; }
  group "site dc" | jq -e '(.failed | length) == 0 and (.not_run | length) == 0'
  group "site dc" | jq -e '.changed | index("approved[dc-router]") and index("worker_kernel[worker-1]")'
  group "site north" | jq -e '.failed | length > 0'
  same workers_routes "$(changed_steps one-site-off | tr , '\n' | grep -x workers_routes)"
  wait_for 90 pairs_of_dc_answer
}
# pairs_of_dc_answer: all 16 pairs but those of the site whose router is off
pairs_of_dc_answer() { "$HERE/matrix.sh" show || true; same 16 "$(grep -v "$NORTH_WORKER" "$RUN/matrix" | grep -c ' ok$')"; }
some_pair_of_dc_is_dead() { ! pairs_of_dc_answer; }
north_router_on() {
  world drift --json "{\"method\":\"POST\",\"path\":\"$(jq -er --arg name "$NORTH_ROUTER" '.machines[$name].id' "$RUN/follow.json")/restart?api-version=2024-07-01\"}"
  wait_for 120 run_in "$NORTH_ROUTER" systemctl is-active tailscaled
  connected() { tailnet "device/$(device "$NORTH_ROUTER")" | jq -e .connectedToControl; }
  wait_for 60 connected
  complete north-on sync
}
