#!/bin/bash
# Builds the kubectl of a version of Kubernetes from Go modules and prints its path; 1 to 3 minutes cold on two cores at the lowest
# priority, nothing to do when it is there. The rig's own build of the same version is used where tests/rig has made one.
#
# usage: kubectl.sh VERSION
#
# k8s.io/kubernetes replaces modules of its own by folders of its repository, so `go install` refuses it. A module of ours that only
# requires it, with every such module at the version published beside it, builds.
set -euo pipefail
version=${1:?usage: kubectl.sh VERSION}
cache=${XDG_CACHE_HOME:-$HOME/.cache}
program=$cache/stargate-conformance/kubectl-$version
rig=${STARGATE_RIG:-$cache/stargate-rig}

# Reads all that it prints: it would fail by SIGPIPE where grep ends at the first line.
is_whole() { [ -x "$1" ] && "$1" version --client 2>/dev/null | grep -x "Client Version: v$version" >/dev/null; }
for one in "$program" "$rig/bin/kubectl"; do
  if is_whole "$one"; then echo "$one"; exit; fi
done
command -v go >/dev/null || { echo "there is no Go to build kubectl $version with: https://go.dev/dl" >&2; exit 1; }
command -v jq >/dev/null || { echo "jq is needed to build kubectl $version" >&2; exit 1; }
echo "building kubectl $version into $program, which takes some minutes" >&2

mkdir -p "$cache/stargate-conformance/src/kubectl-$version"
cd "$cache/stargate-conformance/src/kubectl-$version"
published=$(go mod download -json "k8s.io/kubernetes@v$version" | jq -r .GoMod)
{
  printf 'module scratch\n\ngo %s\n\nrequire k8s.io/kubernetes v%s\n' "$(go mod edit -json "$published" | jq -r .Go)" "$version"
  go mod edit -json "$published" | jq -r '.Replace[]? | select(.New.Path | startswith("./staging/")) | .Old.Path' |
    while read -r module; do echo "replace $module => $module v0.${version#1.}"; done
} > go.mod
stamp=k8s.io/component-base/version
# It moves into place only when it is whole.
CGO_ENABLED=0 nice -n 19 go build -mod=mod -o kubectl \
  -ldflags "-s -w -X $stamp.gitVersion=v$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$(cut -d. -f2 <<<"$version")" \
  k8s.io/kubernetes/cmd/kubectl >&2
mv kubectl "$program"
echo "$program"
