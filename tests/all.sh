#!/bin/sh
# Every test: the workspace's own, the stock clients against the simulated world, and the real machines of the rig.
# A part that this machine cannot run is named with the reason, and with CI=true that is a failure.
set -eu
cd "$(dirname "$0")/.."
tests/needs.sh all

cargo test --workspace --locked
# The program that the tests above were run with.
STARGATE=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug/stargate
export STARGATE
tests/conformance/run.sh

skip() {
  echo "skipped: the real machines of tests/rig: $1" >&2
  [ "${CI:-}" != true ] || exit 1
  exit 0
}
[ "$(id -u)" = 0 ] || skip 'they need root'
command -v go >/dev/null 2>&1 || skip 'they need Go 1.26 or later'
exec tests/rig/run.sh --whole
