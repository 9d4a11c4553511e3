#!/bin/sh
# Makes sure that what building and testing need is there: installs it when it may, else says exactly what to type.
# usage: tests/needs.sh [all]      all: also what fuzz/run.sh, the real machines of tests/rig and the stock clients need
set -eu

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cc gcc
need make make
need ssh openssh-client
need curl curl
if [ "${1:-}" = all ]; then
  need c++ g++
  need python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
  [ -x /usr/sbin/sshd ] || missing="$missing openssh-server"
fi

if [ -n "$missing" ]; then
  install="apt-get install -y --no-install-recommends$missing"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $install >/dev/null
  else
    echo "missing:$missing" >&2
    echo "hint: run \`sudo $install\`, or install them as your system does, and start again" >&2
    exit 69
  fi
fi

command -v cargo >/dev/null 2>&1 || {
  echo 'missing: cargo, a Rust toolchain of 1.95 or later' >&2
  echo 'hint: install it as https://rustup.rs says, and start again' >&2
  exit 69
}
