#!/bin/bash
# under.py sees each way in which a program may differ, and leaves out what cannot run.
set -u
under=$(dirname "$0")/under.py
failed=0

# expect CODE SENTENCE OPTION... -- COMMAND...
expect() {
    local code=$1 sentence=$2 said
    shift 2
    said=$("$under" --strategies auto "$@" 2>&1)
    if [[ $? != "$code" || $said != *"$sentence"* ]]; then
        printf 'not "%s" with exit code %s: %s\n%s\n' "$sentence" "$code" "$*" "$said"
        failed=1
    fi
}

expect 0 'ok  auto' -- sh -c 'echo same'
expect 1 'exit code 3, plain 0' -- sh -c '[ ! "$LD_PRELOAD" ] || exit 3'
expect 1 "stdout differs in line 2: plain b'(the end)', ours b'b'" -- \
    sh -c 'echo a; [ ! "$LD_PRELOAD" ] || echo b'
expect 1 'on stderr: stepwell: unknown' -- \
    sh -c '[ ! "$LD_PRELOAD" ] || STEPWELL_CONF=no_such_option:1 ls'
expect 1 'on stderr: ERROR: ld.so' -- \
    sh -c '[ ! "$LD_PRELOAD" ] || LD_PRELOAD=/no/such/library ls'
expect 1 'did not end' --timeout 1 -- sh -c '[ ! "$LD_PRELOAD" ] || sleep 30'
expect 1 'grew by' --steady -- /usr/bin/python3 -c '
import os, time
kept = []
for i in range(30):
    time.sleep(0.05)
    if "LD_PRELOAD" in os.environ:
        kept.append(bytearray(1 << 19))
'
expect 0 'ok  auto' --under seq -- env seq 3
expect 1 'seq was not under strategy auto; these were: none' --under seq -- env -u LD_PRELOAD seq 3
expect 1 'seq was not under strategy auto; these were: seq (pool)' --under seq -- \
    env STEPWELL_STRATEGY=pool seq 3
expect 1 'true was not under' --under true -- true # which allocates nothing
expect 0 'ok  auto' --list <(printf 'a list\n\n# why\nLC_ALL=C /usr/bin/seq 3\n')
expect 1 'ls was not under' --list <(printf 'a list\n\n# under: seq ls\nseq 3; env -u LD_PRELOAD ls\n')
expect 1 'the preload library is not at work under auot' --strategies auot -- true
STEPWELL_BUILD_DIR=/no/such/folder expect 1 'the preload library is not at work' -- true
expect 1 'plain, with exit code 3' -- sh -c 'exit 3'
expect 0 'ok  auto' --list <(printf 'a list\n\nseq 3 | cat\n')
expect 1 'plain, with exit code 3' --list <(printf 'a list\n\n(exit 3) | cat\n')
expect 77 'left out' -- sh -c 'exit 77'
expect 77 'left out' --list <(printf 'a list\n\nno-such-program\n')
expect 77 'left out' --list <(printf 'a list\n\n# under: no-such-program sh\nseq 3 | no-such-program\n')
expect 1 'plain, with exit code 127' --list <(printf 'a list\n\nseq 3 | no-such-program\n')

# Told to end, it ends at once, and so does what it runs.
lasting=30.$$
for ending in INT:130 TERM:143; do
    timeout --foreground --preserve-status -s "${ending%:*}" 2 \
        "$under" --strategies auto -- sh -c "sleep $lasting; echo" >/dev/null
    code=$?
    if [[ $code != "${ending#*:}" ]] || pgrep -fx "sleep $lasting" >/dev/null; then
        echo "SIG${ending%:*}: it ended with $code, or left its program running"
        failed=1
    fi
done
exit $failed
