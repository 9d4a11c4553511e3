#!/bin/bash
# A mirror in the internet, as many datacenters have one: plain HTTP, http://192.168.99.1:8088, files by the paths of their origins.
#
# mirror.sh up     kubernetes/vX/bin/linux/amd64/kubelet, cni-plugins.tgz, images/echo.tar; each with its .sha256 beside it
# mirror.sh down
#
# Debian's packages are not in it: those that a node needs are on the machines' disk already.
. "$(dirname "$0")/lib.sh"
files=$RIG/mirror
summed() { sha256sum "$1" | cut -d' ' -f1 > "$1.sha256"; }

fill() {
  local version binaries; version=$(cut -d' ' -f2 < <("$BIN/kubelet" --version))
  binaries=$files/kubernetes/$version/bin/linux/amd64
  rm -rf "$files"; mkdir -p "$binaries" "$files/images"
  cp -l "$BIN/kubelet" "$binaries/kubelet"; summed "$binaries/kubelet"
  tar -C "$ROOT/usr/lib/cni" -czf "$files/cni-plugins.tgz" .; summed "$files/cni-plugins.tgz"
  cp -l "$BIN/echo.tar" "$files/images/echo.tar"; summed "$files/images/echo.tar"
}
up() {
  fill
  background mirror nsenter --net=/run/netns/inet -- python3 -m http.server --bind 192.168.99.1 --directory "$files" 8088
  wait_for 10 inside inet curl -sf http://192.168.99.1:8088/cni-plugins.tgz.sha256
}
down() { halt mirror; }

case ${1:-} in
up | down) "$1" ;;
*) sed -n '2,7s/^# \?//p' "$0" >&2; exit 64 ;;
esac
