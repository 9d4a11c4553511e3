#!/bin/bash
# The network of a cloud, by the kernel. Every verb may be repeated; the last word holds.
#
# fabric.sh internet                                    the internet: a bridge in the namespace inet, 192.168.99.1/24
# fabric.sh network NETWORK EGRESS PREFIX...            a virtual network with its address space; EGRESS is its address in the internet
# fabric.sh nic NETWORK SUBNET MACHINE ADDRESS/LEN [MAC]   a fresh network namespace MACHINE with one NIC, eth0
# fabric.sh forward NETWORK MACHINE on|off              the NIC's IP-forwarding flag
# fabric.sh public NETWORK ADDRESS PUBLIC|-             the public address of a private one, or none
# fabric.sh routes NETWORK SUBNET [PREFIX=HOP]...       the subnet's user-defined routes; HOP: an address, none, internet or local
# fabric.sh overlay NETWORK SUBNET [POD_CIDR=NODE]...   the pod CIDRs that the cloud itself carries between the subnet's nodes
# fabric.sh unplug NETWORK MACHINE                      removes a machine's NIC and namespace
# fabric.sh down                                        removes all of it
#
# Azure's rules: every packet leaves a NIC towards the fabric, even inside a subnet (proxy ARP); the sender's subnet picks the route
# table; the longest prefix wins, a user-defined route before a system route of the same length; a NIC drops packets that are not
# from its own address unless it may forward; a public address is a 1:1 translation that the machine never sees. And one that is not
# Azure's but common on the way between two sites: nobody hears that a packet was too large, so path MTU discovery finds nothing.
. "$(dirname "$0")/lib.sh"
GATEWAY=192.168.99.1
FABRIC=$RUN/fabric
mkdir -p "$FABRIC"/{namespaces,networks,public,routes,overlays}

number() { printf '%s' "$1" | cksum | cut -d' ' -f1; }
table() { echo $((1000 + $(number "$1/$2") % 30000)); }
link() { echo "f$(number "$1")"; }                                  # interface names are 15 bytes at most
space() { echo "net-$1"; }
tell() { ip netns exec "$(space "$1")" nft "${@:2}"; }
has() { [ -e "/run/netns/$1" ]; }
make_namespace() { ip netns add "$1"; touch "$FABRIC/namespaces/$1"; ip -n "$1" link set lo up; }
drop_namespace() { ip netns del "$1" 2>/dev/null || true; rm -f "$FABRIC/namespaces/$1"; }

internet() {
  has inet && return
  make_namespace inet
  ip -n inet link add br0 type bridge
  ip -n inet addr add "$GATEWAY/24" dev br0
  ip -n inet link set br0 up
}

network() {
  local network=$1 egress=$2 net; net=$(space "$1"); shift 2
  printf '%s\n' "$@" > "$FABRIC/networks/$network"
  has "$net" || {
    make_namespace "$net"
    ip link add "$(link "$net")" netns inet type veth peer name eth0 netns "$net"
    ip -n inet link set "$(link "$net")" master br0 up
    ip -n "$net" addr add "$egress/24" dev eth0
    ip -n "$net" link set eth0 up
    ip -n "$net" route add default via "$GATEWAY"
    ip netns exec "$net" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
    filter "$network"
  }
  local prefix
  for prefix in "$@"; do ip -n "$net" route replace unreachable "$prefix"; done      # no NIC has the address
}

filter() { tell "$1" -f - <<N
table ip azure {
  map public { type ipv4_addr : ipv4_addr; }
  map private { type ipv4_addr : ipv4_addr; }
  set own { type ifname . ipv4_addr; }
  set forwarding { type ifname; }
  chain spoof { type filter hook prerouting priority -300; iifname "eth0" accept; iifname @forwarding accept; iifname . ip saddr @own accept; drop; }
  chain silent { type filter hook forward priority 0; icmp type destination-unreachable icmp code frag-needed drop; }
  chain in { type nat hook prerouting priority -100; dnat to ip daddr map @private; }
  chain out { type nat hook postrouting priority 100; oifname "eth0" snat to ip saddr map @public; oifname "eth0" masquerade; }
}
N
}

nic() {
  local network=$1 subnet=$2 machine=$3 private=$4 mac=${5:-} net link address gateway table
  net=$(space "$network") link=$(link "$machine") address=${private%/*} table=$(table "$network" "$subnet")
  unplug "$network" "$machine"
  make_namespace "$machine"
  ip netns exec "$machine" sysctl -qw net.ipv4.ip_forward=0       # a namespace inherits it, a kernel boots without
  ip link add "$link" netns "$net" type veth peer name eth0 netns "$machine"
  ip -n "$net" link set "$link" up
  ip netns exec "$net" sysctl -qw "net.ipv4.conf.$link.proxy_arp=1" "net.ipv4.neigh.$link.proxy_delay=0"
  gateway=$(python3 -c 'import ipaddress, sys; print(next(ipaddress.ip_interface(sys.argv[1]).network.hosts()))' "$private")
  ip -n "$net" addr replace "$gateway/32" dev lo
  ip -n "$net" route replace "$address/32" dev "$link"
  ip -n "$net" rule add iif "$link" lookup "$table" priority 100
  tell "$network" add element ip azure own "{ $link . $address }"
  [ -z "$mac" ] || ip -n "$machine" link set eth0 address "${mac//-/:}"
  ip -n "$machine" addr add "$private" dev eth0
  ip -n "$machine" link set eth0 up
  ip -n "$machine" route add default via "$gateway"
  [ -e "$FABRIC/routes/$network:$subnet" ] || : > "$FABRIC/routes/$network:$subnet"
  local known
  for known in "$FABRIC/routes/$network":*; do write_routes "$network" "${known##*:}"; done       # some may lead to this NIC
}

unplug() {
  local net link element; net=$(space "$1") link=$(link "$2")
  has "$net" || return 0
  while ip -n "$net" rule del iif "$link" 2>/dev/null; do :; done
  for element in $(tell "$1" -j list set ip azure own | jq -r --arg link "$link" '.nftables[].set?|values|.elem[]?.concat|select(.[0]==$link)|.[1]'); do
    tell "$1" delete element ip azure own "{ $link . $element }"
  done
  ip -n "$net" link del "$link" 2>/dev/null || true
  drop_namespace "$2"
}

forward() {
  if [ "$3" = on ]; then tell "$1" add element ip azure forwarding "{ $(link "$2") }"
  else tell "$1" delete element ip azure forwarding "{ $(link "$2") }" 2>/dev/null || true; fi
}

public() {
  local network=$1 address=$2 public=$3 record=$FABRIC/public/$1-$2 old
  old=$(cat "$record" 2>/dev/null || true)
  [ "$old" != "$public" ] || return 0
  [ -z "$old" ] || {
    tell "$network" delete element ip azure private "{ $old : $address }"
    tell "$network" delete element ip azure public "{ $address : $old }"
    ip -n inet route del "$old/32"
    rm "$record"
  }
  [ "$public" != - ] || return 0
  tell "$network" add element ip azure private "{ $public : $address }"
  tell "$network" add element ip azure public "{ $address : $public }"
  ip -n inet route replace "$public/32" via "$(egress "$network")"
  echo "$public" > "$record"
}
egress() { ip -n "$(space "$1")" -j addr show dev eth0 | jq -r '.[0].addr_info[] | select(.family == "inet") | .local'; }

# A subnet's table holds its user-defined routes and, for what the virtual network itself routes, a way on to the main table, which
# has each NIC's address.
routes() {
  printf '%s\n' "${@:3}" > "$FABRIC/routes/$1:$2"
  write_routes "$1" "$2"
}
# Azure's overlay: between the nodes of a cluster their pods' packets are carried without any route of ours.
overlay() {
  printf '%s\n' "${@:3}" > "$FABRIC/overlays/$1:$2"
  write_routes "$1" "$2"
}
write_routes() {
  local network=$1 subnet=$2 net table prefix route hop dev; net=$(space "$network") table=$(table "$1" "$2")
  ip -n "$net" route flush table "$table" 2>/dev/null || true
  ip -n "$net" route add default via "$GATEWAY" table "$table"
  while read -r prefix; do [ -z "$prefix" ] || ip -n "$net" route add throw "$prefix" table "$table"; done < "$FABRIC/networks/$network"
  while read -r route; do
    [ -n "$route" ] || continue
    prefix=${route%=*} hop=${route#*=}
    ip -n "$net" route del "$prefix" table "$table" 2>/dev/null || true
    dev=$(ip -n "$net" -j route show "$hop/32" 2>/dev/null | jq -r '.[0].dev // empty' || true)
    case $hop in
    none) ip -n "$net" route add blackhole "$prefix" table "$table" ;;
    internet) ip -n "$net" route add "$prefix" via "$GATEWAY" table "$table" ;;
    local) ip -n "$net" route add throw "$prefix" table "$table" ;;
    *) if [ -n "$dev" ]; then ip -n "$net" route add "$prefix" via "$hop" dev "$dev" onlink table "$table"
       else ip -n "$net" route add blackhole "$prefix" table "$table"; fi ;;        # nobody has the next hop's address
    esac
  done < <(cat "$FABRIC/overlays/$network:$subnet" "$FABRIC/routes/$network:$subnet" 2>/dev/null)
}

down() {
  local namespace
  for namespace in "$FABRIC"/namespaces/*; do [ ! -e "$namespace" ] || drop_namespace "$(basename "$namespace")"; done
  rm -rf "$FABRIC"
}

exec 9> "$RIG/fabric.lock"      # the follower and a test may both have something to say
flock 9
case ${1:-} in
internet | network | nic | forward | public | routes | overlay | unplug | down) "$@" ;;
*) sed -n '2,18s/^# \?//p' "$0" >&2; exit 64 ;;
esac
