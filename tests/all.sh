#!/bin/sh
# Every test: the workspace's own, the stock clients against the simulated world, the actions against a real API server, and the real
# machines of the rig.
# A part that this machine cannot run is named with the reason, and with CI=true that is a failure.
set -eu
cd "$(dirname "$0")/.."
tests/needs.sh all

no_go="" no_root=""
command -v go >/dev/null 2>&1 || no_go='it needs Go 1.26 or later'
[ "$(id -u)" = 0 ] || no_root='it needs root'

# skip PART REASON
skip() {
  echo "skipped: $1: $2" >&2
  [ "${CI:-}" != true ] || exit 1
}

# What the parts after the workspace's tests need is made with what those leave of the machine, which is much: they mostly wait. A
# group of its own, because it ends with this script.
log=$(mktemp)
setsid tests/prepare.sh >"$log" 2>&1 &
preparing=$!
end() {
  kill -s TERM -- "-$preparing" 2>/dev/null || kill "$preparing" 2>/dev/null || true
  rm -f "$log"
}
trap end EXIT
trap 'exit 130' INT TERM

cargo test --workspace --locked
# The program that the tests above were run with.
STARGATE=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug/stargate
export STARGATE

wait "$preparing" || { echo "preparing beside the tests failed, and is tried again:" >&2; tail -3 "$log" >&2; }
tests/conformance/run.sh
if [ -z "$no_go" ]; then tests/rig/kube-tests.sh; else skip 'the API server of tests/rig' "$no_go"; fi
if [ -z "$no_go$no_root" ]; then tests/rig/run.sh --whole; else skip 'the real machines of tests/rig' "${no_go:-$no_root}"; fi
