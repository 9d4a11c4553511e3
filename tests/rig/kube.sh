#!/bin/bash
# A cluster's control plane in the internet, as AKS has it: etcd, kube-apiserver and kube-controller-manager. Up in 8 s.
#
# kube.sh up       https://192.168.99.1:6443; the administrator's kubeconfig is $RUN/kubeconfig
# kube.sh down
# kube.sh sign DURATION    certificates that are signed from now on are valid for that long; 8760h at first, as everywhere
#
# Node and RBAC authorization, NodeRestriction, bootstrap tokens, approval of kubelets' client certificates (of nobody's serving
# certificate: no controller of Kubernetes does that). No scheduler: the rig's pods name their nodes.
. "$(dirname "$0")/lib.sh"
ADDRESS=192.168.99.1 state=$RUN/kube

# Who has changed what; stargate and kubectl come as the administrator.
policy() {
  cat <<P
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: [rig-admin]
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
P
}
# The API server is in the internet and the nodes are not: as on AKS, it reaches them from one of them, over $RUN/kube/tunnel.
egress() {
  cat <<E
apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
  - name: cluster
    connection: {proxyProtocol: HTTPConnect, transport: {uds: {udsName: $state/tunnel}}}
E
}
serve() { background "$1" nsenter --net=/run/netns/inet --wd="$state" -- "$BIN/$1" "${@:2}"; }
ready() { inside inet "$BIN/kubectl" --kubeconfig "$RUN/kubeconfig" get --raw /readyz; }

up() {
  # Every machine's systemd, containerd and kubelet count together, and 128 is what a kernel allows by itself.
  [ "$(sysctl -n fs.inotify.max_user_instances)" -ge 1024 ] || sysctl -qw fs.inotify.max_user_instances=1024
  mkdir -p "$state"; cd "$state"
  authority rig
  certificate server /CN=kube-apiserver extendedKeyUsage=serverAuth \
    "subjectAltName=IP:127.0.0.1,IP:$ADDRESS,IP:10.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc"
  certificate kubelet-client /CN=kube-apiserver-kubelet-client extendedKeyUsage=clientAuth
  kubeconfig rig "https://$ADDRESS:6443" "$RUN/kubeconfig"
  policy > audit.yaml
  egress > egress.yaml
  serve etcd --data-dir "$state/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  serve kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 0.0.0.0 --advertise-address "$ADDRESS" --secure-port 6443 \
    --tls-cert-file server.crt --tls-private-key-file server.key --client-ca-file ca.crt --authorization-mode Node,RBAC \
    --enable-admission-plugins NodeRestriction --enable-bootstrap-token-auth --allow-privileged --service-cluster-ip-range 10.0.0.0/16 \
    --egress-selector-config-file egress.yaml --kubelet-client-certificate kubelet-client.crt --kubelet-client-key kubelet-client.key \
    --kubelet-certificate-authority ca.crt --kubelet-preferred-address-types InternalIP \
    --audit-policy-file audit.yaml --audit-log-path "$state/audit.log" \
    --service-account-issuer "https://$ADDRESS:6443" --service-account-signing-key-file accounts.key --service-account-key-file accounts.key
  wait_for 60 ready
  manage 8760h
}
manage() {
  serve kube-controller-manager --kubeconfig "$RUN/kubeconfig" --cluster-signing-cert-file ca.crt --cluster-signing-key-file ca.key \
    --cluster-signing-duration "$1" --root-ca-file ca.crt --service-account-private-key-file accounts.key \
    --controllers '*,bootstrapsigner,tokencleaner' --use-service-account-credentials --bind-address 127.0.0.1 --leader-elect=false \
    --allocate-node-cidrs=false
}
sign() { halt kube-controller-manager KILL; manage "$1"; }
down() {
  local process
  for process in kube-controller-manager kube-apiserver etcd; do halt "$process" KILL; done     # nothing of it is kept
  rm -rf "$state" "$RUN/kubeconfig"
}

case ${1:-} in
up | down) "$1" ;;
sign) sign "${2:?for how long}" ;;
*) sed -n '2,9s/^# \?//p' "$0" >&2; exit 64 ;;
esac
