#!/bin/bash
# The cluster that a deployment starts from: the scenario's AKS cluster as real machines, with Kubernetes beside it, and nothing of ours.
#
# cluster.sh [--keep]
#   --keep    leaves all of it up; down.sh ends it. Then $RUN/kubeconfig is the administrator's, $RUN/environment is what stargate
#             needs, and the network namespace `inet` is where both are used.
. "$(dirname "$0")/lib.sh"
. "$HERE/world.sh"
. "$HERE/steps.sh"
keep=''
case ${1:-} in
--keep) keep=yes ;;
'') ;;
*) sed -n '4,6s/^# \?//p' "$0" >&2; exit 64 ;;
esac

claim
trap finish EXIT
cluster_is_up
echo "kubeconfig: $RUN/kubeconfig"
