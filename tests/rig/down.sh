#!/bin/bash
# Ends everything that the scripts of this folder started and removes machines and namespaces; what was built stays, and the logs.
# While a test is at work it waits for its end.
. "$(dirname "$0")/lib.sh"
claim
for process in follow simulator; do halt "$process"; done
"$HERE/kube.sh" down
for machine in "$MACHINES"/*/; do [ ! -d "$machine" ] || "$HERE/machine.sh" delete "$(basename "$machine")" & done; wait
for process in "$RUN"/*.pid; do [ ! -e "$process" ] || halt "$(basename "$process" .pid)"; done
"$HERE/fabric.sh" down
rm -rf "$RUN"
