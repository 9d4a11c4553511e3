#!/bin/bash
# Each target with libFuzzer for 20 s (STARGATE_FUZZ_SECONDS), from the kept corpus, two at a time. Arguments are the targets to run;
# without them, all. Needs a C++ compiler; the property tests of the same targets do not.
set -euo pipefail
cd "$(dirname "$0")"
export SECONDS_EACH=${STARGATE_FUZZ_SECONDS:-20} ARTIFACTS=$PWD/../target/fuzz
[ $# -gt 0 ] || set -- corpus/*

messages=$(mktemp)
# The dependencies are those of the tests, and are built once.
RUSTC_WORKSPACE_WRAPPER=$PWD/instrument cargo test --workspace --locked --no-run --features stargate-fuzz/libfuzzer --test libfuzzer \
  --message-format json >"$messages"
PROGRAM=$(grep '"name":"libfuzzer"' "$messages" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
rm -f "$messages"
export PROGRAM

fuzz() {
  target=${1##*/}
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  mkdir -p "$ARTIFACTS" "$scratch/found"
  # What is found goes to the first folder, and not into the kept corpus.
  if ! STARGATE_FUZZ_TARGET=$target "$PROGRAM" -max_total_time="$SECONDS_EACH" -max_len=65536 -timeout=60 -print_final_stats=1 \
    -artifact_prefix="$ARTIFACTS/$target-" "$scratch/found" "corpus/$target" >"$scratch/log" 2>&1; then
    tail -n 40 "$scratch/log" >&2
    echo "fuzz $target: failed; the input is kept as $ARTIFACTS/$target-*" >&2
    return 1
  fi
  echo "fuzz $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/log") inputs in $SECONDS_EACH s," \
    "$(find "$scratch/found" -type f | wc -l) with new coverage"
}
export -f fuzz
printf '%s\n' "$@" | xargs -P 2 -I{} bash -c 'fuzz {}'
