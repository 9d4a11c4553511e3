#!/bin/sh
# The main job in the simulated world: builds stargate and runs `stargate demo`.
set -eu
cd "$(dirname "$0")/.."
tests/needs.sh
exec cargo run --quiet --locked -- demo "$@"
