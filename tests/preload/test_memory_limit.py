#!/usr/bin/env python3
"""A real control group whose memory limit is near: under auto the process gives back what it keeps
free before the kernel ends it. The arguments are the preload library and limited.c's program.
Skips where no group can be made."""

import os
import signal
import subprocess
import sys
import unittest

LIBRARY, PROGRAM = sys.argv[1:3]
MIB = 1 << 20
LIMIT, BESIDE = 400, 280  # MiB; the steps need 235

# Of each version of control groups: its line in /proc/self/cgroup, where its groups are, its limit
# and the limit that leaves nothing to swap.
VERSIONS = [
    (":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
     ("memory.memsw.limit_in_bytes", LIMIT * MIB)),
    ("0::", "/sys/fs/cgroup", "memory.max", ("memory.swap.max", 0)),
]


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="ascii") as file:
        file.write(str(value))


def own_group(line, mount):
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for group in file.read().splitlines():
            if line in group:
                path = mount + group.partition(line)[2]
                return path if os.path.isdir(path) else mount
    raise OSError(f"no line with {line} in /proc/self/cgroup")


def make_group():
    """The folder of a new group with a limit, or why there is none."""
    reasons = []
    for line, mount, limit, (swap_limit, swap) in VERSIONS:
        try:
            folder = os.path.join(own_group(line, mount), f"stepwell-test-{os.getpid()}")
            os.mkdir(folder)
        except OSError as error:
            reasons.append(str(error))
            continue
        try:
            write(folder, limit, LIMIT * MIB)
            if os.path.exists(os.path.join(folder, swap_limit)):
                write(folder, swap_limit, swap)
            return folder, ""
        except OSError as error:
            os.rmdir(folder)
            reasons.append(str(error))
    return None, "; ".join(reasons)


def run(strategy):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("STEPWELL_")}
    return subprocess.run(
        [PROGRAM, str(BESIDE)], capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: write(GROUP, "cgroup.procs", os.getpid()),
        env={**variables, "LD_PRELOAD": LIBRARY, "STEPWELL_STRATEGY": strategy})


class NearTheLimit(unittest.TestCase):
    def test_auto_gives_back(self):
        result = run("auto")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "lived\n", ""))

    def test_what_keeps_all_is_killed(self):  # so the limit is real, and there is not room for both
        self.assertEqual(run("pool").returncode, -signal.SIGKILL)


if __name__ == "__main__":
    GROUP, WHY = make_group()
    if not GROUP:
        print("skipped: no control group with a memory limit can be made here:", WHY)
        sys.exit(77)
    try:
        unittest.main(argv=sys.argv[:1], verbosity=2)
    finally:
        os.rmdir(GROUP)
