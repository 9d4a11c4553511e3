#!/bin/sh
# Installs and builds what the stock clients, the API server and the real machines need, and starts nothing, so that it can run beside
# other work. 25 minutes from nothing on two cores, at the lowest priority; nothing to do when all of it is there. A second one waits
# for the end of the first. What fails here is tried again, and told, by the part that needs it.
set -eu
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}
mkdir -p "$cache"
exec 8>"$cache/stargate-prepare.lock"
flock 8

status=0
if ! command -v go >/dev/null 2>&1; then
  status=1
elif [ "$(id -u)" = 0 ]; then
  nice -n 19 tests/rig/prepare.sh || status=1
else
  nice -n 19 tests/rig/build-kube.sh || status=1
fi
# The rig's kubectl is one of those that the stock clients are.
nice -n 19 tests/conformance/run.sh --prepare || status=1
exit $status
