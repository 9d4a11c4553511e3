#!/bin/bash
# The end state of a whole deployment, made step by step without stargate: what the workflows have to reach, and that the rig can tell
# it from less. Everything of Azure's goes through the simulator's API, and the machines and the network follow its events.
#
# deployment.sh [--keep]     --keep leaves all of it up; down.sh ends it
#
# It ends with 16 of 16 pod pairs, and with the broken states of states.sh, each of which kills exactly the pairs it must.
. "$(dirname "$0")/lib.sh"
. "$HERE/world.sh"
. "$HERE/steps.sh"
. "$HERE/states.sh"
keep=''
case ${1:-} in
--keep) keep=yes ;;
'') ;;
*) sed -n '2,7s/^# \?//p' "$0" >&2; exit 64 ;;
esac

LOCATION=canadacentral ADMIN=ubuntu DATACENTER=$CLUSTER-dc
AKS_ROUTER=10.237.0.4 DC_ROUTER=10.50.1.4 WORKERS=(worker-1=10.50.1.5=10.244.64.0/24 worker-2=10.50.1.6=10.244.65.0/24)
declare -A ADVERTISED=([aks-router]="10.224.0.0/16 10.237.0.0/24 10.244.0.0/24 10.244.1.0/24"
  [dc-router]="10.50.1.0/24 10.244.64.0/24 10.244.65.0/24")

# --- Azure, by its API

id() { echo "/subscriptions/$(subscription)/resourceGroups/$1/providers/$2"; }
network_path() { echo "resourceGroups/$1/providers/Microsoft.Network/$2"; }
# subnet GROUP NETWORK SUBNET CHANGE: puts the subnet as it is, changed by the jq program CHANGE
subnet() {
  local path; path=$(network_path "$1" "virtualNetworks/$2/subnets/$3")
  put "$path" "$({ arm GET "$path" 2>/dev/null || echo '{}'; } | jq -s "(.[-1] | if .error then {} else {properties: (.properties // {})} end) | $4")"
}
# table GROUP NAME [PREFIX=HOP]...
table() {
  local group=$1 name=$2; shift 2
  put "$(network_path "$group" "routeTables/$name")" "$(printf '%s\n' "$@" | jq -R '. / "=" | {name: "hand-\(.[0] | gsub("[./]"; "-"))",
    properties: {addressPrefix: .[0], nextHopType: "VirtualAppliance", nextHopIpAddress: .[1]}}' |
    jq -s "{location: \"$LOCATION\", properties: {routes: .}}")"
}
associate() { subnet "$1" "$2" "$3" ".properties.routeTable = {id: \"$(id "$1" "Microsoft.Network/routeTables/$4")\"}"; }
nic() { network_path "$1" "networkInterfaces/$2-nic"; }
# machine GROUP NETWORK SUBNET NAME ADDRESS PUBLIC: its user data on stdin
machine() {
  local group=$1 network=$2 subnet=$3 name=$4 address=$5 public=$6
  [ "$public" = no ] || put "$(network_path "$group" "publicIPAddresses/$name-pip")" \
    "{\"location\": \"$LOCATION\", \"sku\": {\"name\": \"Standard\"}, \"properties\": {\"publicIPAllocationMethod\": \"Static\"}}"
  put "$(nic "$group" "$name")" "$(jq -n --arg location "$LOCATION" --arg address "$address" --arg public "$public" \
    --arg subnet "$(id "$group" "Microsoft.Network/virtualNetworks/$network/subnets/$subnet")" \
    --arg pip "$(id "$group" "Microsoft.Network/publicIPAddresses/$name-pip")" '{location: $location, properties: {enableIPForwarding: true,
      ipConfigurations: [{name: "ipconfig1", properties: ({privateIPAddress: $address, privateIPAllocationMethod: "Static", subnet: {id: $subnet}}
        + if $public == "yes" then {publicIPAddress: {id: $pip}} else {} end)}]}}')"
  put "resourceGroups/$group/providers/Microsoft.Compute/virtualMachines/$name" "$(jq -n --arg location "$LOCATION" --arg name "$name" \
    --arg admin "$ADMIN" --arg key "$(cat "$RUN/id.pub")" --arg data "$(base64 -w0)" --arg nic "$(id "$group" "Microsoft.Network/networkInterfaces/$name-nic")" '
    {location: $location, properties: {hardwareProfile: {vmSize: "Standard_D2s_v5"}, storageProfile: {osDisk: {createOption: "FromImage"},
        imageReference: {publisher: "Canonical", offer: "0001-com-ubuntu-server-jammy", sku: "22_04-lts-gen2", version: "latest"}},
      osProfile: {computerName: $name, adminUsername: $admin, customData: $data, linuxConfiguration: {disablePasswordAuthentication: true,
        ssh: {publicKeys: [{path: "/home/\($admin)/.ssh/authorized_keys", keyData: $key}]}}},
      networkProfile: {networkInterfaces: [{id: $nic, properties: {primary: true}}]}}}')"
}

# --- the parts of the deployment

clamp_rules() { printf 'table inet stargate_mss_clamp { chain forward { type filter hook forward priority mangle; policy accept;\n'
  printf '%s "tailscale0" tcp flags syn tcp option maxseg size set rt mtu\n' iifname oifname; printf '}\n}\n'; }
clamp_unit() { printf '%s\n' '[Service]' Type=oneshot RemainAfterExit=yes 'ExecStart=/usr/sbin/nft -f /etc/mss-clamp.nft' '[Install]' WantedBy=multi-user.target; }
router_data() {
  echo '#cloud-config'
  jq -n --arg rules "$(clamp_rules)" --arg unit "$(clamp_unit)" --arg login "$LOGIN_SERVER" --arg key "$(auth_key)" --arg name "$1" --arg routes "${ADVERTISED[$1]// /,}" '
    {write_files: [{path: "/etc/sysctl.d/90-forward.conf", content: "net.ipv4.ip_forward = 1\n"},
       {path: "/etc/mss-clamp.nft", content: "\($rules)\n"}, {path: "/etc/systemd/system/stargate-mss-clamp.service", content: "\($unit)\n"}],
     runcmd: [["sysctl", "--system"], ["systemctl", "enable", "--now", "stargate-mss-clamp"], ["systemctl", "enable", "--now", "tailscaled"], ["tailscale", "up", "--login-server=\($login)",
       "--auth-key=\($key)", "--hostname=\($name)", "--accept-routes", "--snat-subnet-routes=false", "--accept-dns=false",
       "--advertise-tags=tag:stargate-router", "--advertise-routes=\($routes)"]]}'
}
aks_router() {
  local network; network=$(network_name)
  subnet "$NODE_GROUP" "$network" routers '.properties.addressPrefix = "10.237.0.0/24"'
  router_data aks-router | machine "$NODE_GROUP" "$network" routers aks-router "$AKS_ROUTER" yes
}
dc_network() {
  arm PUT "resourceGroups/$DATACENTER" "{\"location\": \"$LOCATION\"}"
  put "$(network_path "$DATACENTER" virtualNetworks/dc)" "{\"location\": \"$LOCATION\", \"properties\": {\"addressSpace\": {\"addressPrefixes\": [\"10.50.0.0/16\"]}}}"
  subnet "$DATACENTER" dc machines '.properties.addressPrefix = "10.50.1.0/24"'
}
dc_router() { router_data dc-router | machine "$DATACENTER" dc machines dc-router "$DC_ROUTER" yes; }
workers() {
  local worker name address pod_cidr
  for worker in "${WORKERS[@]}"; do
    IFS='=' read -r name address pod_cidr <<< "$worker"
    "$HERE/aks.sh" config "$name" "$address" "$pod_cidr" kubernetes.azure.com/managed=false,kubernetes.azure.com/stargate=true |
      machine "$DATACENTER" dc machines "$name" "$address" no
  done
}
tables() {
  local network near=() far=() back=() node address number=0 worker name pod_cidr; network=$(network_name)
  while read -r node address; do near+=("10.244.$number.0/24=$address"); number=$((number + 1)); done < <(instances)
  for worker in "${WORKERS[@]}"; do
    IFS='=' read -r name address pod_cidr <<< "$worker"
    far+=("$pod_cidr=$AKS_ROUTER"); back+=("$pod_cidr=$address")
  done
  table "$NODE_GROUP" hand-router-rt "${near[@]}"
  table "$NODE_GROUP" hand-workers-rt "10.50.1.0/24=$AKS_ROUTER" "${far[@]}"
  table "$DATACENTER" hand-dc-rt "${back[@]}" 10.224.0.0/16=$DC_ROUTER 10.237.0.0/24=$DC_ROUTER 10.244.0.0/24=$DC_ROUTER 10.244.1.0/24=$DC_ROUTER
  associate "$NODE_GROUP" "$network" routers hand-router-rt
  associate "$NODE_GROUP" "$network" aks-subnet hand-workers-rt
  associate "$DATACENTER" dc machines hand-dc-rt
}
approvals() {
  local router
  for router in aks-router dc-router; do
    wait_for 60 device "$router"
    # shellcheck disable=SC2086
    approve "$router" ${ADVERTISED[$router]}
  done
  accepted() { ip -n aks-router -json route show table 52 | jq -e 'any(.[]; .dst == "10.244.65.0/24")'; }
  wait_for 30 accepted
}
workers_ready() {
  local worker name address pod_cidr
  for worker in "${WORKERS[@]}"; do IFS='=' read -r name address pod_cidr <<< "$worker"; "$HERE/aks.sh" agent "$name" "$address"; done
  nodes_ready
}
# from the internet, through the datacenter's router
through_the_router() {
  local public; public=$(arm GET "$(network_path "$DATACENTER" publicIPAddresses/dc-router-pip)" | jq -er .properties.ipAddress)
  local options=(-q -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5 -i "$RUN/id")
  same worker-1 "$(inside inet ssh "${options[@]}" -o "ProxyCommand=ssh ${options[*]} -W %h:%p $ADMIN@$public" "$ADMIN@10.50.1.5" hostname)"
}

claim
trap finish EXIT
cluster_is_up
check "the AKS router is created" aks_router
check "the datacenter's network is there" dc_network
check "the DC router is created" dc_router
check "two workers are created, without public addresses" workers
check "the three tables are written and associated" tables
check "both routers' routes are approved and in force" approvals
check "the workers join and are Ready" workers_ready
check "a worker is reached through the DC router" wait_for 30 through_the_router
check "16 of 16 pod pairs answer with their source addresses kept" all_pairs 16
states
for machine in dc-router worker-1; do
  check "$machine restarts" restarted "$machine"
  check "16 of 16 pod pairs answer again" all_pairs 16
done
