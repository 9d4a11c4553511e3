#!/bin/bash
# The tests of the Kubernetes and Cilium actions against a real API server: etcd and kube-apiserver on loopback, without nodes. 20 s
# when both and the tests are built.
#
# kube-tests.sh
#
# Runs exactly the tests whose names begin with `a_real_server`, which are ignored elsewhere, with STARGATE_TEST_KUBECONFIG set. Fails
# if one of them fails or does not run, and removes both servers. Needs no root.
. "$(dirname "$0")/lib.sh"
[ $# = 0 ] || { sed -n '2,8s/^# \?//p' "$0" >&2; exit 64; }
need openssl=openssl jq=jq
state=$RUN/kube-tests
ETCD_PORT=12379 ETCD_PEER_PORT=12380 API_PORT=16443     # not those of kube.sh, which may be up
export STARGATE_TEST_KUBECONFIG=$state/kubeconfig

kubectl() { "$BIN/kubectl" --kubeconfig "$STARGATE_TEST_KUBECONFIG" "$@"; }
ready() { kubectl get --raw /readyz; }

up() {
  rm -rf "$state"; mkdir -p "$state"; cd "$state"
  authority test
  certificate server /CN=kube-apiserver extendedKeyUsage=serverAuth subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost
  kubeconfig test "https://127.0.0.1:$API_PORT" "$STARGATE_TEST_KUBECONFIG"
  background tests-etcd "$BIN/etcd" --data-dir "$state/etcd" --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster "default=http://127.0.0.1:$ETCD_PEER_PORT"
  background tests-kube-apiserver "$BIN/kube-apiserver" --etcd-servers "http://127.0.0.1:$ETCD_PORT" --bind-address 127.0.0.1 \
    --advertise-address 127.0.0.1 --endpoint-reconciler-type none --secure-port "$API_PORT" \
    --tls-cert-file server.crt --tls-private-key-file server.key --client-ca-file ca.crt --authorization-mode Node,RBAC \
    --enable-bootstrap-token-auth --service-cluster-ip-range 10.0.0.0/16 --service-account-issuer https://127.0.0.1 \
    --service-account-signing-key-file accounts.key --service-account-key-file accounts.key
  wait_for 120 ready || { tail -5 "$LOGS/tests-kube-apiserver.log" >&2; return 1; }
  cilium_node
}
# What Cilium's operator and agent create: the definition of CiliumNode, and the object of one node.
cilium_node() {
  kubectl apply -f - <<'C' >/dev/null
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ciliumnodes.cilium.io}
spec:
  group: cilium.io
  scope: Cluster
  names: {plural: ciliumnodes, singular: ciliumnode, kind: CiliumNode, listKind: CiliumNodeList}
  versions:
    - name: v2
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
C
  kubectl wait --for condition=Established --timeout 60s customresourcedefinition/ciliumnodes.cilium.io >/dev/null
  served() { kubectl get ciliumnodes.cilium.io; }
  wait_for 30 served
  kubectl create -f - <<'C' >/dev/null
{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {name: w1}, spec: {ipam: {pools: {}}}}
C
}
down() {
  halt tests-kube-apiserver KILL      # nothing of it is kept
  halt tests-etcd KILL
  rm -rf "$state"
}
# a_real_server ARGUMENT...: the test programs of both crates, with the features of the whole workspace as tests/all.sh builds them:
# another choice of packages would build half of the tree again.
a_real_server() {
  "${CARGO:-cargo}" test --workspace --locked --test cluster --test cilium a_real_server -- --ignored "$@" >"$log" 2>&1 ||
    { tail -40 "$log" >&2; return 1; }
}
# count PATTERN: of the lines in the log
count() { grep -c "$1" "$log" || true; }

claim
log=$LOGS/kube-tests.log
cd "$HERE/../.."
a_real_server --list
listed=$(count ': test$')
"$HERE/build-kube.sh"
trap down EXIT
down
(up)
a_real_server
passed=$(count '^test .* ok$')
[ "$passed" -gt 0 ] && [ "$passed" = "$listed" ] || { echo "$passed of $listed tests passed: $log" >&2; exit 1; }
echo "$passed tests against kube-apiserver passed"
