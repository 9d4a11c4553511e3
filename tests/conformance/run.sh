#!/bin/sh
# Stock clients against the simulated world: az, the Azure SDKs for Python, curl, ssh and two kubectl; and the published API specifications
# over all of their traffic and over that of a whole provision-aks-router.
#
# usage: run.sh [--part NAME]...     NAME: az, sdk, stock, kubectl, product or specs; all if none is given
#        run.sh --prepare            installs and builds the clients, and runs nothing
#
# Ends with `N passed, N failed`. A part that this machine cannot run is named with the reason, and with CI=true that is a failure.
# Environment: STARGATE, the program (else it is built).
set -eu
cd "$(dirname "$0")/../.."
tests/needs.sh all
here=tests/conformance
cache=${XDG_CACHE_HOME:-$HOME/.cache}/stargate-conformance

skip() {
  echo "skipped: the stock clients of $here: $1" >&2
  echo "0 passed, 0 failed"
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

# The environment of Python is used again while the pins are the same; it moves into place only when it is whole.
if ! cmp -s "$here/requirements.txt" "$cache/venv/requirements.txt"; then
  echo "installing az and the SDKs into $cache/venv, which takes some minutes" >&2
  mkdir -p "$cache"
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv"
  if ! "$cache/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >"$cache/pip.log" 2>&1; then
    tail -3 "$cache/pip.log" >&2
    skip "pip cannot install $here/requirements.txt (all it said: $cache/pip.log)"
  fi
  cp "$here/requirements.txt" "$cache/venv/requirements.txt"
fi

if [ "${1:-}" = --prepare ]; then
  versions=$(PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/suite "$cache/venv/bin/python" -c 'import kubectl; print(*kubectl.VERSIONS)')
  for version in $versions; do "$here/kubectl.sh" "$version" >/dev/null; done
  exit
fi

if [ -z "${STARGATE:-}" ]; then
  cargo build --quiet --locked -p stargate
  STARGATE=${CARGO_TARGET_DIR:-target}/debug/stargate
fi
export STARGATE
PYTHONDONTWRITEBYTECODE=1 exec "$cache/venv/bin/python" "$here/suite" "$@"
