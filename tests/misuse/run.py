#!/usr/bin/env python3
"""run.py - runs every program of this folder under every strategy and mode, and sees what stops it.

    run.py BUILD_DIRECTORY           checks what happens, and that README.md's table says so
    run.py BUILD_DIRECTORY --write   writes README.md's table

A program's first line is its row of the table, and the sentence of alloc/misuse.h that a checked heap
has for it. Under checked:1 that sentence must come, whatever the strategy, preloaded and linked alike,
and the process end by SIGABRT. What the other modes catch depends on the strategy: a row says "some"
where not all of its programs are caught, and is empty where none is."""

import concurrent.futures
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BEGIN = "<!-- misuse: tests/misuse/run.py BUILD_DIRECTORY --write -->"
END = "<!-- end of misuse -->"

# What a heap is told, and how programs are run with it.
MODES = {
    "checked": ("checked:1,tracking:0", ["preloaded", "linked"]),
    "checked and tracked": ("checked:1,tracking:1", ["linked"]),
    "tracked": ("tracking:1", ["linked"]),
    "plain": ("tracking:0", ["preloaded", "linked"]),
}

# Preloaded there is only one heap, and nobody tells its free from ours.
LINKED_ONLY = {"free_in_other_heap"}

# Columns of plain heaps. The other strategies are not ours: libc and jemalloc check as they like.
OURS = ["auto", "sizeclass", "pool", "arena"]


def sentences():
    text = (ROOT / "alloc/misuse.h").read_text().replace("\\\n", " ")
    return dict(re.findall(r'X\((\w+),\s*"([^"]+)"\)', text))


def programs():
    """name -> (row, the kind that a checked heap tells, or NOTHING)"""
    found = {}
    for source in sorted(HERE.glob("*.c")):
        first = source.read_text().splitlines()[0]
        match = re.fullmatch(r"/\* (.+): (\w+) \*/", first)
        assert match, f"{source}: the first line is no /* row: KIND */"
        found[source.stem] = match.groups()
    return found


def execute(build, program, way, strategy, conf):
    """(exit status, stderr)"""
    binary = build / "bin/tests/misuse" / way / program
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STEPWELL_")}
    environment.update(STEPWELL_STRATEGY=strategy, STEPWELL_CONF=conf)
    if way == "preloaded":
        libraries = [build / "lib/libstepwell-preload.so", build / "lib/libstepwell-jemalloc.so"]
        environment["LD_PRELOAD"] = ":".join(str(each) for each in libraries if each.exists())
    done = subprocess.run([binary], env=environment, capture_output=True, text=True, timeout=60,
                          errors="replace", check=False)
    return done.returncode, done.stderr


def is_caught(status, stderr, known):
    first = stderr.split("\n", 1)[0]
    return status == -signal.SIGABRT and first.removeprefix("stepwell: ") in known.values()


def check_report(status, stderr, kind, known):
    """why the report of a checked heap is not what it must be; None where it is"""
    if kind == "NOTHING":
        return None if (status, stderr) == (0, "") else "was to say nothing"
    lines = stderr.splitlines()
    if status != -signal.SIGABRT:
        return "was to end by SIGABRT"
    if not lines or lines[0] != f"stepwell: {known[kind]}":
        return f"was to say: {known[kind]}"
    about = re.compile(r"stepwell: at byte -?\d+ of the block of \d+ bytes at 0x[0-9a-f]+, tagged \w+")
    if len(lines) > 2 or (len(lines) == 2 and not about.fullmatch(lines[1])):
        return "was to say nothing else but where"
    return None


def run_all(build, strategies, known):
    """{(program, mode, strategy): [caught, ...]}, and what is wrong with the reports"""
    caught, wrong = {}, []

    def one(job):
        program, mode, way, strategy = job
        return job, execute(build, program, way, strategy, MODES[mode][0])

    jobs = [(program, mode, way, strategy) for program in programs() for mode in MODES
            for way in MODES[mode][1] if way == "linked" or program not in LINKED_ONLY
            for strategy in strategies]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (program, mode, way, strategy), outcome in pool.map(one, jobs):
            caught.setdefault((program, mode, strategy), []).append(is_caught(*outcome, known))
            why = mode.startswith("checked") and check_report(*outcome, programs()[program][1], known)
            if why:
                wrong.append(f"{program}, {way}, {strategy}, {mode}: {why}, but: {outcome}")
    return caught, wrong


def cell(caught, row, mode, strategies):
    found = [each for program, (its_row, _) in programs().items() if its_row == row
             for strategy in strategies for each in caught[program, mode, strategy]]
    return "yes" if all(found) else "some" if any(found) else ""


def table(caught, strategies, known):
    columns = [("`checked:1`", "checked", strategies), ("`tracking:1`", "tracked", strategies)]
    columns += [(f"`{strategy}`", "plain", [strategy]) for strategy in OURS]
    order = [*known, "NOTHING"]
    rows = sorted(set(programs().values()), key=lambda each: (order.index(each[1]), each[0]))
    lines = ["| misuse | " + " | ".join(name for name, _, _ in columns) + " |",
             "|---" * (len(columns) + 1) + "|"]
    for row, _ in rows:
        cells = [cell(caught, row, mode, who) for _, mode, who in columns]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    build = Path(sys.argv[1]).resolve()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    write = sys.argv[2:] == ["--write"]
    listed = subprocess.run([build / "bin/stepwell", "list", "--json"], capture_output=True, check=True)
    strategies = [row["name"] for row in json.loads(listed.stdout)["strategies"] if row["available"]]
    known = sentences()
    caught, wrong = run_all(build, strategies, known)
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN + "\n")
    old, after = rest.split(END)
    new = "\n" + table(caught, strategies, known) + "\n\n"
    if write:
        readme.write_text(before + BEGIN + "\n" + new + END + after)
    elif new != old:
        wrong.append("README.md's table is not what happens; it is to be:\n" + new)
    print("\n".join(wrong) or f"{len(caught)} outcomes are as they should be")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
