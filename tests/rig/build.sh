#!/bin/bash
# Builds from Go modules: tailscale and tailscaled, our coordination server (tailnet/), the API server's way to kubelets (tunnel/), and the
# one container image of the rig (echo/).
# 2 minutes cold on two cores; nothing to do when the versions and sources are those of the last build.
. "$(dirname "$0")/lib.sh"
TAILSCALE=${TAILSCALE:-1.100.0}   # the newest that Go 1.26 builds; the same as in tailnet/go.mod

need jq=jq python3=python3
command -v go >/dev/null || { echo "Go 1.26 or newer is needed: https://go.dev/dl" >&2; exit 1; }

tailscale() {
  local source
  GOBIN=$BIN nice -n 15 go install -ldflags '-s -w' "tailscale.com/cmd/tailscale@v$TAILSCALE" "tailscale.com/cmd/tailscaled@v$TAILSCALE"
  source=$(go mod download -json "tailscale.com@v$TAILSCALE" | jq -r .Dir)
  install -m644 "$source/cmd/tailscaled/tailscaled.service" "$BIN/"
}
tailnet() { (cd "$HERE/tailnet" && nice -n 15 go build -ldflags '-s -w' -o "$BIN/tailnet" .); }
tunnel() { (cd "$HERE/tunnel" && nice -n 15 go build -ldflags '-s -w' -o "$BIN/tunnel" .); }
# A static program that answers HTTP and waits; it is kubelet's pause container too.
image() {
  (cd "$HERE/echo" && CGO_ENABLED=0 nice -n 15 go build -ldflags '-s -w' -o "$RIG/echo" .)
  # containerd 1.7 asks for pause:3.8
  "$HERE/echo/image.py" "$BIN/echo.tar" stargate.test/echo:1,registry.k8s.io/pause:3.8,registry.k8s.io/pause:3.10 /echo /echo="$RIG/echo"
  rm "$RIG/echo"
}

key=$TAILSCALE
built tailscale "$key" || { tailscale; stamp tailscale "$key"; }
key=$(fingerprint "$HERE"/tailnet/*.go "$HERE"/tailnet/go.*)
built tailnet "$key" || { tailnet; stamp tailnet "$key"; }
key=$(fingerprint "$HERE"/tunnel/*)
built tunnel "$key" || { tunnel; stamp tunnel "$key"; }
key=$(fingerprint "$HERE"/echo/*)
built image "$key" || { image; stamp image "$key"; }
