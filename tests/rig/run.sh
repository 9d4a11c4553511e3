#!/bin/bash
# The workflow provision-aks-router on a real machine: only Azure's API is simulated. The router boots with the user data that the
# workflow wrote; cloud-init, sshd, tailscaled, systemd-networkd, the kernel and the tailnet are real, and are asked here directly.
#
# run.sh [--keep | --whole] [--storm SEED]
#   --keep          leaves all of it up, whatever happened; down.sh ends it
#   --whole         goes on with deploy.sh: the whole deployment, with Kubernetes; 4 to 6 minutes more
#   --storm SEED    kills the run at moments by chance too, again and again until it ends between two of them
#
# A line per check with its seconds. Ends at the first that fails, with what it said and where the logs are.
. "$(dirname "$0")/lib.sh"
. "$HERE/world.sh"
keep='' storm='' whole=''
while [ $# -gt 0 ]; do
  case $1 in
  --keep) keep=yes ;;
  --whole) whole=yes ;;
  --storm) storm=${2:?a seed}; shift ;;
  *) sed -n '5,9s/^# \?//p' "$0" >&2; exit 64 ;;
  esac
  shift
done

CLUSTER="stargate-aks-e2e-7"     # the simulator has it from the start, with its network and nodes
ROUTER=aks-router
ADMIN=ubuntu
NODE_PREFIX=10.224.0.0/16 ROUTER_PREFIX=10.237.0.0/24 ROUTER_ADDRESS=10.237.0.4 DATACENTER_PREFIX=10.50.0.0/16

provision=(run workflow provision-aks-router -o json --input cluster="$CLUSTER" --input resource_group="$CLUSTER"
  --input router="$ROUTER" --input router_subnet="$ROUTER_PREFIX" --input ssh_source=198.51.100.0/24 --input admin_username="$ADMIN" --input login_server="$LOGIN_SERVER"
  --input datacenter_prefixes="[\"$DATACENTER_PREFIX\"]")
# router COMMAND...: on the router, by its private address, as its admin
router() {
  ip netns exec "$ROUTER" ssh -q -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=3 -i "$RUN/id" \
    "$ADMIN@$ROUTER_ADDRESS" "$@"
}

# --- the surroundings

# tailscale_in NAMESPACE COMMAND...: the client of a tailscaled that runs as a process in the namespace
tailscale_in() { inside "$1" "$BIN/tailscale" --socket="$RUN/tailscale-$1/socket" "${@:2}"; }
# join NAMESPACE HOSTNAME TUN [FLAG...]
join() {
  local namespace=$1 hostname=$2 tun=$3; shift 3
  mkdir -p "$RUN/tailscale-$namespace"
  background "tailscaled-$namespace" nsenter --net="/run/netns/$namespace" -- env TS_NO_LOGS_NO_SUPPORT=true "$BIN/tailscaled" \
    --tun="$tun" --port=0 --statedir="$RUN/tailscale-$namespace" --socket="$RUN/tailscale-$namespace/socket"
  wait_for 10 test -S "$RUN/tailscale-$namespace/socket"
  tailscale_in "$namespace" up --timeout=20s --login-server="$LOGIN_SERVER" --auth-key="$(auth_key)" --hostname="$hostname" \
    --advertise-tags=tag:stargate-router --accept-dns=false "$@"
}

# A device of the router's name that an earlier machine left behind.
stale_device() {
  join inet "$ROUTER" userspace-networking
  device "$ROUTER" > "$RUN/stale"
  halt tailscaled-inet
  stale_is_offline() { tailnet "device/$(cat "$RUN/stale")" | jq -e '.connectedToControl | not'; }
  wait_for 10 stale_is_offline
}

# The datacenter: a router of which only tailscaled and the kernel matter here, and its address behind it.
datacenter() {
  "$HERE/fabric.sh" network datacenter 192.168.99.19 10.50.0.0/16
  "$HERE/fabric.sh" nic datacenter workers dc-router 10.50.1.4/24
  "$HERE/fabric.sh" forward datacenter dc-router on
  ip netns exec dc-router sysctl -qw net.ipv4.ip_forward=1
  join dc-router dc-router tailscale0 --accept-routes --snat-subnet-routes=false --advertise-routes="$DATACENTER_PREFIX"
  tailnet "device/$(device dc-router)/routes" --json "{\"routes\":[\"$DATACENTER_PREFIX\"]}"
}

# --- the run

# The worst moment: the machine's creation has begun, and nobody was told.
killed_in_creation() {
  world faults --json '{"method":"PUT","path":"/virtualMachines/","fault":{"kind":"hang_after"}}'
  start first "${provision[@]}" --input ssh_public_key="$(cat "$RUN/id.pub")"
  held() { running first || return 0; world 'holds?wait=1' | jq -e 'length == 1'; }
  wait_for 120 held
  world holds | jq -e 'length == 1' || { cat "$LOGS/first.log"; return 1; }
  halt first KILL
  world holds/release -X POST
}
# And once more, when the machine has begun to boot.
killed_in_boot() {
  start second resume @latest -o json
  boots() { jq -e --arg name "$ROUTER" '.machines[$name]' "$RUN/follow.json"; }
  wait_for 120 boots || { cat "$LOGS/second.log"; return 1; }
  running second
  halt second KILL
}
# Every kill comes a little later than by chance alone, so that a step that takes long is passed at last.
killed_again_and_again() {
  local round
  RANDOM=$storm
  for round in {1..100}; do
    start "storm-$round" resume @latest -o json
    sleep "$(printf '%d.%03d' $((round / 10)) $((RANDOM % 1000)))"
    running "storm-$round" || break
    halt "storm-$round" KILL
  done
  echo "killed $((round - 1)) times"
}
resumed() {
  start resumed resume @latest -o json
  finished resumed
}

# --- what is true now, asked of those who know

history_is_readable() { "${stargate[@]}" history @latest -o json; }
cloud_init_is_done() { router sudo cloud-init status --format=json | jq -e '.status == "done" and .errors == []'; }
forwards() { same "net.ipv4.ip_forward = 1" "$(router /usr/sbin/sysctl net.ipv4.ip_forward)"; }
is_not_strict() { same "net.ipv4.conf.all.rp_filter = 2" "$(router /usr/sbin/sysctl net.ipv4.conf.all.rp_filter)"; }
clamps() { same 2 "$(router sudo nft list table inet stargate_mss_clamp | grep -c '"tailscale0" tcp flags syn tcp option maxseg size set rt mtu')"; }
firewall_restarts() { router sudo systemctl restart nftables; }
has_kernel_route() { router ip -json route show "$NODE_PREFIX" | jq -e '.[0] | .gateway == "10.237.0.1" and .dev == "eth0"'; }
drop_in_has_route() { router 'cat /etc/systemd/network/10-eth0.network.d/*.conf' | grep -A2 -F '[Route]' | grep -Fx "Destination=$NODE_PREFIX"; }
# What it did not set itself is "foreign" to systemd-networkd.
networkd_set_route() {
  router networkctl --json=short status eth0 |
    jq -e 'any(.Routes[]; .Destination == [10,224,0,0] and .DestinationPrefixLength == 16 and .ConfigSource == "static")'
}
# primary_routes: those that the router itself serves, sorted
primary_routes() { router tailscale status --json | jq -c '.Self.PrimaryRoutes // [] | sort'; }
serves_routes() { same "[\"$NODE_PREFIX\",\"$ROUTER_PREFIX\"]" "$(primary_routes)"; }
far_router_sends() { ip -n dc-router -json route show table 52 | jq -e --arg p "$NODE_PREFIX" 'any(.[]; .dst == $p and .dev == "tailscale0")'; }
preferences_hold() { router sudo tailscale debug prefs | jq -e '.RouteAll and .NoSNAT and .Hostname == "aks-router" and .LoggedOut == false'; }
no_secret_is_left() { router 'sudo test ! -e /run/stargate/auth-key'; }

no_secret_is_told() {
  [ -s "$RUN/state/stargate/journal.db" ]
  shopt -s nullglob
  ! grep -raoE "tskey-auth-k[A-Z0-9]{11}CNTRL-[A-Z0-9]{8}|$CLIENT_SECRET|PRIVATE KEY" "$RUN/state" "$LOGS"/{first,second,storm-*,resumed}.log
}

one_device() {
  local node; node=$(router tailscale status --json | jq -er .Self.ID)
  same "$(printf '%s\n' "$(cat "$RUN/stale")" "$node" | sort)" "$(device "$ROUTER" | sort)"
  tailnet "device/$node" | jq -e '.tags == ["tag:stargate-router"] and .connectedToControl'
}
stale_device_is_left_alone() { tailnet "device/$(cat "$RUN/stale")?fields=all" | jq -e '.enabledRoutes == [] and (.connectedToControl | not)'; }
# However often the run was started: one key let one machine in, and no other key is good any more.
one_key() {
  inside inet curl -sf "$LOGIN_SERVER/_keys" | jq -e '[.keys[] | select(.description // "" | startswith("stargate"))] |
    (map(select(.nodes != [])) | length == 1) and all(.invalid)'
}
# The run has told its outputs when it ended, whichever of its processes that was.
host_key_is_pinned() {
  local reported
  reported=$(find "$LOGS" -name '*.log' -exec grep -h '"event":"run_finished"' {} + |
    jq -er '.outputs.host_key | split(" ")[0:2] | join(" ")')
  ip netns exec "$ROUTER" ssh-keyscan -t ed25519 "$ROUTER_ADDRESS" 2>/dev/null | grep -F "$reported"
}
packets_cross() {
  local network; network=$(jq -er '.networks | keys[0]' "$RUN/follow.json")
  [ -e /run/netns/node-0 ] || "$HERE/fabric.sh" nic "$network" aks-subnet node-0 10.224.0.5/16
  wait_for 60 ip netns exec node-0 ping -c 1 -W 1 10.50.1.4
  ip netns exec node-0 ping -c 3 -W 1 10.50.1.4
}

# --- again

writes() { printf '%s %s' "$(world counters | jq .mutating)" "$(inside inet curl -sf "$LOGIN_SERVER/_counters" | jq .mutating)"; }
again() {
  start again "${provision[@]}" --input ssh_public_key="$(cat "$RUN/id.pub")"
  finished again
}
nothing_changed() { jq -e '.changed == false' "$RUN/again.json"; }
mark() { router sudo touch /run/rig-marker; writes > "$RUN/writes"; }
nothing_was_written() { same "$(cat "$RUN/writes")" "$(writes)"; }
no_file_changed() { same "" "$(router sudo find /etc /usr /root /home /opt -newer /run/rig-marker -not -type d)"; }

# --- and after a restart

boot_id() { router cat /proc/1/stat | cut -d' ' -f22; }     # when its first process began
restarted() {
  local before; before=$(boot_id)
  world drift --json "{\"method\":\"POST\",\"path\":\"$(jq -er --arg name "$ROUTER" '.machines[$name].id' "$RUN/follow.json")/restart?api-version=2024-07-01\"}"
  other_boot() { local now; now=$(boot_id) && [ "$now" != "$before" ]; }
  wait_for 120 other_boot
}

claim
trap finish EXIT
check "tailscale, the tailnet and the disk are built" build
check "the internet and a tailnet are up" surroundings
check "a device of the router's name is left over from before" stale_device
check "a datacenter's router is in the tailnet" datacenter
check "the simulator of Azure is up and followed" simulator
check "a run is killed when the machine's creation has begun, before the answer" killed_in_creation
check "resumed, it is killed again when the machine boots" killed_in_boot
[ -z "$storm" ] || check "it is killed at moments by chance, seed $storm" killed_again_and_again
check "resumed, it ends well" resumed
check "its history can be read" history_is_readable
check "cloud-init is done, without errors" cloud_init_is_done
check "the host key is the one the run reports" host_key_is_pinned
check "the kernel forwards" forwards
check "the kernel takes what came another way" is_not_strict
check "the kernel clamps TCP's segments both ways" clamps
check "the kernel has the route to the nodes" has_kernel_route
check "a drop-in of systemd-networkd has it too" drop_in_has_route
check "tailscaled has the preferences" preferences_hold
check "the router serves its routes" serves_routes
check "the datacenter's router sends there" far_router_sends
check "the router is one device of the tailnet" one_device
check "the device left over was not taken" stale_device_is_left_alone
check "one key let it in, and none is left" one_key
check "the auth key is gone from the machine" no_secret_is_left
check "no secret is in the journal, the results or the traces" no_secret_is_told
check "packets cross from the nodes' subnet to the datacenter and back" packets_cross
check "somebody restarts the firewall, which empties every table" firewall_restarts
check "the kernel still clamps" wait_for 5 clamps
mark
check "run again, it ends well" again
check "it says that nothing changed" nothing_changed
check "nothing was written to Azure or the tailnet" nothing_was_written
check "no file of the machine changed" no_file_changed
check "the machine restarts" restarted
check "the kernel forwards again" wait_for 20 forwards
check "the kernel takes what came another way again" is_not_strict
check "the kernel clamps again" wait_for 20 clamps
check "the kernel has the route again" wait_for 20 has_kernel_route
check "it is systemd-networkd that set it" networkd_set_route
check "the router serves its routes again" wait_for 60 serves_routes
check "packets cross again" packets_cross
[ -z "$whole" ] || {
  trap - EXIT
  finish
  exec "$HERE/deploy.sh"
}
