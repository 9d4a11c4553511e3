#!/bin/bash
# Builds Kubernetes and etcd from Go modules. 8 to 10 minutes cold on two cores at the lowest priority (the API server is half of it);
# nothing to do when the versions are those of the last build.
. "$(dirname "$0")/lib.sh"
KUBERNETES=${KUBERNETES:-1.37.2} ETCD=${ETCD:-3.6.5}     # the newest that Go 1.26 builds
GO_VERSION=1.26.0
need jq=jq python3=python3 curl=curl
command -v go >/dev/null || { echo "Go 1.26 or newer is needed: https://go.dev/dl" >&2; exit 1; }

# k8s.io/kubernetes and etcd replace modules of theirs by folders of their repository, so `go install` refuses them. A module of
# ours that only requires them, with every such module at the version published beside it, builds.
scratch() { mkdir -p "$RIG/src/$1" && cd "$RIG/src/$1"; }
compile() { CGO_ENABLED=0 nice -n 19 go build -mod=mod "$@"; }
staging() { go mod edit -json "$1" | jq -r '.Replace[]? | select(.New.Path | startswith("./staging/")) | .Old.Path'; }

kubernetes() {
  local mod module stamp=k8s.io/component-base/version
  scratch kubernetes
  mod=$(go mod download -json "k8s.io/kubernetes@v$KUBERNETES" | jq -r .GoMod)
  printf 'module scratch\n\ngo %s\n\nrequire k8s.io/kubernetes v%s\n' "$GO_VERSION" "$KUBERNETES" > go.mod
  for module in $(staging "$mod"); do printf 'replace %s => %s v0.%s\n' "$module" "$module" "${KUBERNETES#1.}"; done >> go.mod
  compile -ldflags "-s -w -X $stamp.gitVersion=v$KUBERNETES -X $stamp.gitMajor=1 -X $stamp.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")" \
    -o "$BIN/" k8s.io/kubernetes/cmd/{kubectl,kubelet,kube-controller-manager,kube-apiserver}
}
# The test image of the Kubernetes project: agnhost, with the shell, curl and wc of this host.
agnhost() {
  local words=(/agnhost="$RIG/agnhost") program library
  scratch kubernetes
  compile -ldflags '-s -w' -o "$RIG/agnhost" k8s.io/kubernetes/test/images/agnhost
  for program in /bin/sh /usr/bin/curl /usr/bin/wc; do
    words+=("$program=$(realpath "$program")")
    while read -r library; do words+=("$library=$(realpath "$library")"); done < <(ldd "$program" | grep -o '/[^ ]*')
  done
  "$HERE/echo/image.py" "$BIN/agnhost.tar" stargate.test/agnhost:1 /agnhost "${words[@]}"
  rm "$RIG/agnhost"
}
etcd() {
  scratch etcd
  printf 'module scratch\n\ngo %s\n\nrequire go.etcd.io/etcd/server/v3 v%s\n' "$GO_VERSION" "$ETCD" > go.mod
  compile -ldflags '-s -w' -o "$BIN/etcd" go.etcd.io/etcd/server/v3
}

build() { built "$1" "$2" || { ( "$1" ) && stamp "$1" "$2"; }; }
build etcd "$ETCD"
build kubernetes "$KUBERNETES"
build agnhost "$KUBERNETES $(fingerprint "$HERE/echo/image.py")"
