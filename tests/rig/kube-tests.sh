#!/bin/bash
# The tests of the Kubernetes and Cilium actions against a real API server: etcd and kube-apiserver on loopback, without nodes. 20 s
# when both and the tests are built.
#
# kube-tests.sh
#
# Runs exactly the tests whose names begin with `a_real_server`, with STARGATE_TEST_KUBECONFIG set. Fails if one of them fails or is
# skipped, and removes both servers. Needs no root.
. "$(dirname "$0")/lib.sh"
[ $# = 0 ] || { sed -n '2,8s/^# \?//p' "$0" >&2; exit 64; }
need openssl=openssl jq=jq
state=$RUN/kube-tests
ETCD_PORT=12379 ETCD_PEER_PORT=12380 API_PORT=16443     # not those of kube.sh, which may be up
export STARGATE_TEST_KUBECONFIG=$state/kubeconfig

authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -subj /CN=test-ca -days 2 \
    -addext keyUsage=critical,digitalSignature,keyCertSign,cRLSign 2>/dev/null
  openssl genrsa -out accounts.key 2048 2>/dev/null
}
# certificate NAME SUBJECT EXTENSION...
certificate() {
  local name=$1 subject=$2; shift 2
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$name.key" -subj "$subject" -out "$name.csr" 2>/dev/null
  openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$name.crt" \
    -extfile <(printf '%s\n' "$@") 2>/dev/null
}
kubeconfig() {
  cat <<K
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$API_PORT", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: admin, user: {client-certificate-data: $(base64 -w0 admin.crt), client-key-data: $(base64 -w0 admin.key)}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
K
}
kubectl() { "$BIN/kubectl" --kubeconfig "$STARGATE_TEST_KUBECONFIG" "$@"; }
ready() { kubectl get --raw /readyz; }

up() {
  rm -rf "$state"; mkdir -p "$state"; cd "$state"
  authority
  certificate server /CN=kube-apiserver extendedKeyUsage=serverAuth subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost
  certificate admin /O=system:masters/CN=test-admin extendedKeyUsage=clientAuth
  (umask 077; kubeconfig > "$STARGATE_TEST_KUBECONFIG")
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
# Every test of the name, in both crates; a test that is skipped passes, and says so.
tests() {
  local packages=(-p stargate-kubernetes -p stargate-cilium) log=$LOGS/kube-tests.log listed passed
  listed=$("${CARGO:-cargo}" test --locked --quiet "${packages[@]}" a_real_server -- --list 2>/dev/null | grep -c ': test$')
  "${CARGO:-cargo}" test --locked "${packages[@]}" a_real_server >"$log" 2>&1 || { tail -40 "$log" >&2; return 1; }
  if grep '^skipped: ' "$log" >&2; then return 1; fi
  passed=$(grep -c '^test .*a_real_server.* ok$' "$log" || true)
  [ "$listed" -gt 0 ] && [ "$passed" = "$listed" ] || { echo "$passed of $listed tests passed: $log" >&2; return 1; }
  echo "$passed tests against kube-apiserver passed"
}

claim
"$HERE/build-kube.sh"
trap down EXIT
down
(up)
cd "$HERE/../.."
tests
