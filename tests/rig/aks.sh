#!/bin/bash
# The part of AKS that stands on machines: a node pool whose nodes join by themselves, as AKS's own do, and what its agents tell the API.
#
# aks.sh prepare                                         once per cluster: bootstrap tokens' group, the custom resources, the approver
# aks.sh node NETWORK SUBNET NAME ADDRESS/LEN POD_CIDR   an instance of the scale set: boots, joins, gets the pod CIDR POD_CIDR
# aks.sh tunnel NAME                                     from now on the API server reaches kubelets from this node, with Konnectivity's agent
# aks.sh remove NETWORK NAME                             the instance is gone, and its Node with it
# aks.sh approve                                         the serving certificates of AKS's nodes: AKS approves those, nobody else's
# aks.sh config NAME ADDRESS POD_CIDR LABELS             a node's cloud-config, with a token of its own, on stdout
# aks.sh agent NAME ADDRESS                              what Cilium's agent does on any node that has registered: its CiliumNode
# aks.sh agents                                          the same for every node that registers, as the DaemonSet has it; goes on for ever
#
# The fabric must have NETWORK. Pods are connected by the bridge plugin with host-local; the pod CIDRs of all nodes together are what the
# cloud's overlay carries. A node is Ready 15 s after its creation.
. "$(dirname "$0")/lib.sh"
NETWORKING=${RIG_CNI:-bridge}     # what connects the nodes' pods: bridge or cilium
API=https://192.168.99.1:6443 MIRROR=http://192.168.99.1:8088
NODE_GROUP=${NODE_GROUP:-rig}     # what the nodes say which cluster they are of
pod_cidrs=$RUN/aks-pod-cidrs
kubectl() { inside inet "$BIN/kubectl" --kubeconfig "$RUN/kubeconfig" "$@"; }

crd() {   # GROUP VERSION KIND PLURAL SHORT SCOPE
  cat <<C
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: $4.$1}
spec:
  group: $1
  scope: $6
  names: {kind: $3, plural: $4, singular: ${3,,}, shortNames: [$5]}
  versions:
    - name: $2
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
C
}
prepare() {
  { crd acn.azure.com v1alpha NodeNetworkConfig nodenetworkconfigs nnc Namespaced
    [ "$NETWORKING" = cilium ] || crd cilium.io v2 CiliumNode ciliumnodes cn Cluster
    cat <<'B'
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: aks-bootstrap}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:node-bootstrapper}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: system:bootstrappers:aks}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: aks-approve}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:certificates.k8s.io:certificatesigningrequests:nodeclient"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: system:bootstrappers:aks}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: aks-kubelet-api}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:kubelet-api-admin"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: kube-apiserver-kubelet-client}]
B
  } | kubectl apply -f - >/dev/null
  "$HERE/cilium.sh" settings
  [ "$NETWORKING" != cilium ] || "$HERE/cilium.sh" operator
  kubectl wait --for=condition=Established crd/nodenetworkconfigs.acn.azure.com crd/ciliumnodes.cilium.io --timeout=30s
  : > "$pod_cidrs"
}

# token: a fresh one for one node, good for an hour
token() {
  local id secret; id=$(openssl rand -hex 3) secret=$(openssl rand -hex 8)
  kubectl create secret generic "bootstrap-token-$id" -n kube-system --type bootstrap.kubernetes.io/token --from-literal=token-id="$id" \
    --from-literal=token-secret="$secret" --from-literal=usage-bootstrap-authentication=true \
    --from-literal=auth-extra-groups=system:bootstrappers:aks --from-literal=expiration="$(date -u -d '+1 hour' +%FT%TZ)" >/dev/null
  echo "$id.$secret"
}
# config NAME ADDRESS POD_CIDR LABELS: everything that a node needs, as the scale set's custom data has it. JSON is YAML.
config() {
  local version; version=$(cut -d' ' -f2 < <("$BIN/kubelet" --version))
  echo '#cloud-config'
  jq -n --arg networking "$NETWORKING" --arg name "$1" --arg address "$2" --arg pod_cidr "$3" --arg labels "$4" --arg token "$(token)" --arg api "$API" --arg ca "$(base64 -w0 "$RUN/kube/ca.crt")" \
    --arg kubelet "$MIRROR/kubernetes/$version/bin/linux/amd64/kubelet" --arg sum "$(sha256sum "$BIN/kubelet" | cut -d' ' -f1)" '
    def file(path; content): {path: path, content: (content | if type == "string" then . else tojson end)};
    {write_files: [
      file("/etc/sysctl.d/90-node.conf"; "net.ipv4.ip_forward = 1\n"),
      file("/etc/kubernetes/bootstrap.kubeconfig"; {apiVersion: "v1", kind: "Config", "current-context": "aks",
        clusters: [{name: "aks", cluster: {server: $api, "certificate-authority-data": $ca}}],
        users: [{name: "aks", user: {token: $token}}], contexts: [{name: "aks", context: {cluster: "aks", user: "aks"}}]}),
      (file("/etc/kubernetes/pki/ca.crt"; $ca) + {encoding: "b64"}),
      file("/etc/kubernetes/kubelet.yaml"; {apiVersion: "kubelet.config.k8s.io/v1beta1", kind: "KubeletConfiguration",
        authentication: {x509: {clientCAFile: "/etc/kubernetes/pki/ca.crt"}, anonymous: {enabled: false}}, cgroupDriver: "cgroupfs",
        containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock", rotateCertificates: true, serverTLSBootstrap: true}),
      file("/etc/containerd/config.toml"; "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n  bin_dir = \"/usr/lib/cni\"\n"),
      file("/etc/cni/net.d/10-azure.conflist"; {cniVersion: "0.3.1", name: "azure", plugins: [
        (if $networking == "cilium" then {type: "cilium-cni"} else {type: "bridge", bridge: "cni0", isGateway: true, ipMasq: false} end) +
        {ipam: {type: "host-local", ranges: [[{subnet: $pod_cidr}]], routes: [{dst: "0.0.0.0/0"}]}}]}),
      file("/etc/systemd/system/kubelet.service"; "[Unit]\nAfter=containerd.service\nStartLimitIntervalSec=0\n[Service]\nRestartSec=1\n" +
        "EnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/local/bin/kubelet --config /etc/kubernetes/kubelet.yaml" +
        " --bootstrap-kubeconfig /etc/kubernetes/bootstrap.kubeconfig --kubeconfig /var/lib/kubelet/kubeconfig --node-ip " + $address +
        " --node-labels " + $labels + " $KUBELET_EXTRA_ARGS\n" +
        "Restart=always\n[Install]\nWantedBy=multi-user.target\n")],
     runcmd: [["sysctl", "--system"],
      ["curl", "-sf", "--retry", "5", "--retry-all-errors", "-o", "/usr/local/bin/kubelet", $kubelet],
      ["sh", "-c", "echo \($sum) /usr/local/bin/kubelet | sha256sum -c && chmod 755 /usr/local/bin/kubelet"],
      ["systemctl", "enable", "--now", "containerd", "kubelet"]]}'
}
agent() { wait_for 180 kubectl get node "$1"; cilium_node "$@"; }
cilium_node() {
  kubectl apply --server-side --field-manager cilium-agent -f - >/dev/null <<N
{"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": "$1"},
  "spec": {"addresses": [{"ip": "$2", "type": "InternalIP"}], "ipam": {}}}
N
}
agents() {
  local name address
  while :; do
    while read -r name address; do
      kubectl get "ciliumnode/$name" >/dev/null 2>&1 && continue
      # A node that has left since the list was read gets none.
      kubectl get "node/$name" >/dev/null 2>&1 && cilium_node "$name" "$address" || true
    done < <(kubectl get nodes -o json | jq -r '.items[] | "\(.metadata.name) \(.status.addresses[]? | select(.type == "InternalIP").address)"')
    sleep 0.5
  done
}
told() {   # NAME ADDRESS POD_CIDR: what Azure's own agents say about a node
  wait_for 180 kubectl get node "$1"
  [ "$NETWORKING" = cilium ] || agent "$1" "$2"
  kubectl apply -f - >/dev/null <<N
{"apiVersion": "acn.azure.com/v1alpha", "kind": "NodeNetworkConfig", "metadata": {"name": "$1", "namespace": "kube-system"},
  "spec": {"requestedIPCount": 0}}
N
  kubectl patch nodenetworkconfig "$1" -n kube-system --subresource=status --type=merge -p "{\"status\": {\"networkContainers\": [
    {\"id\": \"$(cat /proc/sys/kernel/random/uuid)\", \"type\": \"overlay\", \"assignmentMode\": \"static\", \"nodeIP\": \"$2\",
     \"primaryIP\": \"$3\", \"subnetAddressSpace\": \"10.244.0.0/16\", \"version\": 0}]}}" >/dev/null
}
# carry NETWORK SUBNET: tells the fabric every pod CIDR there is; two nodes that come at once must not leave one out
carry() {
  local pairs lock
  exec {lock}> "$pod_cidrs.lock"
  flock "$lock"
  mapfile -t pairs < <(cut -d' ' -f4 "$pod_cidrs")
  "$HERE/fabric.sh" overlay "$1" "$2" "${pairs[@]}"
  exec {lock}>&-
}

node() {
  local network=$1 subnet=$2 name=$3 private=$4 pod_cidr=$5 address=${4%/*} seed gateway; seed=$RUN/seed-$name
  gateway=$(python3 -c 'import ipaddress, sys; print(next(ipaddress.ip_interface(sys.argv[1]).network.hosts()))' "$private")
  mkdir -p "$seed"
  config "$name" "$address" "$pod_cidr" kubernetes.azure.com/managed=true,agentpool=nodepool1,kubernetes.azure.com/cluster="$NODE_GROUP" > "$seed/user-data"
  printf 'instance-id: %s-%s\nlocal-hostname: %s\n' "$name" "$EPOCHSECONDS" "$name" > "$seed/meta-data"
  "$HERE/machine.sh" delete "$name"
  "$HERE/fabric.sh" nic "$network" "$subnet" "$name" "$private"
  "$HERE/fabric.sh" forward "$network" "$name" on
  "$HERE/machine.sh" create "$name" "$seed" "$private" "$gateway"
  echo "$network $subnet $name $pod_cidr=$address" >> "$pod_cidrs"
  carry "$network" "$subnet"
  told "$name" "$address" "$pod_cidr"
}
tunnel() {
  halt tunnel
  rm -f "$RUN/kube/tunnel"
  background tunnel nsenter --net="/run/netns/$1" -- "$BIN/tunnel" "$RUN/kube/tunnel"
  wait_for 10 test -S "$RUN/kube/tunnel"
}
remove() {
  local network=$1 name=$2 subnet; subnet=$(awk -v name="$name" '$3 == name { print $2 }' "$pod_cidrs")
  "$HERE/machine.sh" delete "$name"
  "$HERE/fabric.sh" unplug "$network" "$name"
  sed -i "/ $name /d" "$pod_cidrs"
  carry "$network" "$subnet"
  kubectl delete --ignore-not-found "node/$name" "ciliumnode/$name"
  kubectl delete pod -A --field-selector "spec.nodeName=$name" --force --grace-period=0 2>/dev/null
  kubectl delete --ignore-not-found -n kube-system "nodenetworkconfig/$name"
}
approve() {
  local request
  mapfile -t requests < <(kubectl get csr -o json | jq -r --arg names " $(cut -d' ' -f3 "$pod_cidrs" | tr '\n' ' ')" '.items[] |
    select(.spec.signerName == "kubernetes.io/kubelet-serving" and .status.conditions == null) |
    select(.spec.username | ltrimstr("system:node:") as $n | $names | contains(" \($n) ")) | .metadata.name')
  for request in "${requests[@]}"; do kubectl certificate approve "$request"; done
}

case ${1:-} in
prepare | node | tunnel | remove | approve | config | agent | agents) "$@" ;;
*) sed -n '2,15s/^# \?//p' "$0" >&2; exit 64 ;;
esac
