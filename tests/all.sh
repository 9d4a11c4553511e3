#!/bin/sh
# Every test: the workspace's own, the stock clients against the simulated world, and the real machines of the rig.
# A part that this machine cannot run is named with the reason, and with CI=true that is a failure.
set -eu
cd "$(dirname "$0")/.."
tests/needs.sh all

reason=""
command -v go >/dev/null 2>&1 || reason='they need Go 1.26 or later'
[ "$(id -u)" = 0 ] || reason='they need root'

# What the rig needs is built with what the tests leave of the machine, which is much: they mostly wait. A group of its own, because it
# ends with this script; what fails in it is tried again, and told, where it is needed.
building="" log=""
end_building() {
  [ -z "$building" ] || kill -s TERM -- "-$building" 2>/dev/null || true
  rm -f "$log"
}
trap end_building EXIT
trap 'exit 130' INT TERM
if [ -z "$reason" ]; then
  log=$(mktemp)
  setsid nice -n 19 tests/rig/prepare.sh >"$log" 2>&1 &
  building=$!
fi

cargo test --workspace --locked
# The program that the tests above were run with.
STARGATE=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug/stargate
export STARGATE

# The stock clients use its kubectl.
if [ -n "$building" ]; then
  wait "$building" || { echo "building beside the tests failed, and is tried again:" >&2; tail -3 "$log" >&2; }
  building=
  rm -f "$log"
fi
tests/conformance/run.sh

if [ -n "$reason" ]; then
  echo "skipped: the real machines of tests/rig: $reason" >&2
  [ "${CI:-}" != true ] || exit 1
  exit 0
fi
exec tests/rig/run.sh --whole
