# shellcheck shell=bash
# Two journals of one cluster: its Lease lets one run at a time work on it. Sourced after runs.sh.

# other_journal ARGUMENT...: the command of a sync with a journal of its own, in the array command. It is on a host of another name, so it
# cannot see that a process has ended.
other_journal() {
  local arguments
  mapfile -d '' -t arguments < <(sync)
  # shellcheck disable=SC2016
  command=(unshare --uts sh -c 'hostname other-host; exec "$@"' - "${stargate[@]}" "${arguments[@]}" --journal "$RUN/other.db" "$@")
}
says() { grep -q "\"event\":\"$2\"" "$LOGS/$1.log"; }
run_of() { sed -n 's/.*"event":"run_bound".*"run":"\([0-9A-Z]*\)".*/\1/p; s/.*"run":"\([0-9A-Z]*\)".*"event":"run_bound".*/\1/p' "$LOGS/$1.log" | tail -1; }

# A sync has the lock and is suspended; one of another journal is refused, names it, and writes nothing.
second_journal_is_refused() {
  local before command status=0
  rm -f "$LOGS/holder.log"
  begin holder sync
  wait_for 60 says holder run_bound
  kill -STOP "$(cat "$RUN/holder.pid")"
  before=$(writes)
  other_journal
  "${command[@]}" > "$LOGS/refused.log" 2>&1 || status=$?
  same "20 $before" "$status $(writes)"
  grep -q "$(run_of holder)" "$LOGS/refused.log"
}
# The holder is killed. Another host cannot know that, so it waits until the Lease expires, and goes on; the killed run is resumed.
second_journal_goes_on() {
  local command
  rm -f "$LOGS/waiter.log"
  halt holder KILL
  other_journal --wait-for-locks 10m
  background waiter "${command[@]}"
  finished waiter
  says waiter lock_awaited
  resumed holder-resumed
}
