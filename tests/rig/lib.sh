# shellcheck shell=bash disable=SC2034
# What the scripts of this folder share. Everything built or running is kept under $RIG; nothing is written anywhere else but
# Debian packages and network namespaces.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RIG=${STARGATE_RIG:-$HOME/.cache/stargate-rig}
BIN=$RIG/bin ROOT=$RIG/root MACHINES=$RIG/machines RUN=$RIG/run LOGS=$RIG/logs STAMPS=$RIG/stamps
mkdir -p "$BIN" "$MACHINES" "$RUN" "$LOGS" "$STAMPS"

# need COMMAND=PACKAGE...: installs the Debian packages whose command is missing
need() {
  local pair missing=()
  for pair in "$@"; do command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}"); done
  [ ${#missing[@]} = 0 ] && return
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$LOGS/apt.log" 2>&1 ||
    { echo "installing ${missing[*]} failed: $LOGS/apt.log" >&2; return 1; }
}

# fingerprint FILE...: one word that changes when any of the files does
fingerprint() { cat "$@" | sha256sum | cut -c1-16; }
# built NAME KEY: whether NAME was last built from KEY
built() { [ "$(cat "$STAMPS/$1" 2>/dev/null)" = "$2" ]; }
# stamp NAME KEY: remembers that NAME is built from KEY
stamp() { echo "$2" > "$STAMPS/$1"; }

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { echo "gave up waiting for: $*" >&2; return 1; }
    sleep 0.2
  done
}

# claim: there is one rig on a host, and each test begins by removing whatever is up. This waits for the end of another test, and keeps
# the next one waiting until this shell and what it executes have ended; what is left up by --keep keeps nobody waiting.
claim() {
  [ -z "${RIG_CLAIMED:-}" ] || return 0
  exec 9>"$RIG/claim"
  flock --nonblock 9 || { echo "another test has the rig, waiting for its end" >&2; flock --timeout 1800 9; } ||
    { echo "another test still has the rig after 30 min: see who holds $RIG/claim" >&2; return 1; }
  export RIG_CLAIMED=yes
}

# background NAME COMMAND...: starts the command apart from this shell; its pid is kept in RUN, its output in LOGS
background() { local name=$1; shift; setsid "$@" >>"$LOGS/$name.log" 2>&1 </dev/null 9>&- & echo $! > "$RUN/$name.pid"; }
# running NAME: whether what background started still runs
running() { [ -f "$RUN/$1.pid" ] && kill -0 "$(cat "$RUN/$1.pid")" 2>/dev/null; }
# halt NAME [SIGNAL]: ends what background started and waits for its end, by force after 20 s
halt() {
  local pid
  [ -f "$RUN/$1.pid" ] || return 0
  pid=$(cat "$RUN/$1.pid")
  if kill "-${2:-TERM}" "$pid" 2>/dev/null; then
    wait_for 20 sh -c "! kill -0 $pid" || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$RUN/$1.pid"
}

# inside NAMESPACE COMMAND...: in a network namespace, with this machine's mounts (`ip netns exec` brings its own)
inside() { local namespace=$1; shift; nsenter --net="/run/netns/$namespace" -- "$@"; }

# --- the certificates of a cluster, in the current folder

# authority NAME: ca.crt and ca.key, and accounts.key, which signs the tokens of service accounts
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -subj "/CN=$1-ca" -days 365 \
    -addext keyUsage=critical,digitalSignature,keyCertSign,cRLSign 2>/dev/null
  openssl genrsa -out accounts.key 2048 2>/dev/null
}
# certificate NAME SUBJECT EXTENSION...: NAME.crt and NAME.key, signed by the authority
certificate() {
  local name=$1 subject=$2; shift 2
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$name.key" -subj "$subject" -out "$name.csr" 2>/dev/null
  openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out "$name.crt" \
    -extfile <(printf '%s\n' "$@") 2>/dev/null
}
# kubeconfig NAME SERVER FILE: the administrator NAME-admin, with a certificate of its own
kubeconfig() {
  certificate admin "/O=system:masters/CN=$1-admin" extendedKeyUsage=clientAuth
  (umask 077; cat > "$3") <<K
apiVersion: v1
kind: Config
clusters: [{name: $1, cluster: {server: "$2", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: admin, user: {client-certificate-data: $(base64 -w0 admin.crt), client-key-data: $(base64 -w0 admin.key)}}]
contexts: [{name: $1, context: {cluster: $1, user: admin}}]
current-context: $1
K
}
