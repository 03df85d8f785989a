"""Count the instructions of a malloc and a free on the fast path, under Stepwell and its peers.

Callgrind counts them, so that the numbers are the same on a busy machine as on a quiet one. Each is
the difference of two runs of bench/programs/pairs.c, one with twice the rounds: what starting takes
falls out, and the loop with its two calls, about ten instructions, stays in.
"""
import argparse
import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys

import allocators
import rows
import table

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "bench" / "results" / "instructions.csv"
ROUNDS = 5000
TOLERANCE = 0.02  # of the golden number, and one instruction
PEERS = ("glibc", "jemalloc", "mimalloc", "tcmalloc", "tbb")
KINDS = {
    "pair-16": "malloc(16), free",
    "pair-256": "malloc(256), free",
    "pair-1k": "malloc(1 KiB), free",
    "batch-64": "100 times malloc(64), then 100 times free",
    "mixed": "8 to 1024 bytes, the oldest of 64 freed",
    "zeroed-64": "calloc(1, 64), free",
    "aligned-4k": "posix_memalign(64, 4 KiB), free",
    "replace-8k": "a random one of 2000 blocks of 8 KiB freed, malloc(8 KiB)",
    "pair-512k": "malloc(512 KiB), free",
}

EPILOG = """\
A kind:
%s

Stepwell's numbers are compared with those in bench/results/instructions.csv; --update writes them
there, with the peers' beside them.

Exit code 0; 1 when one of Stepwell's numbers is more than 2 %% above the one in the file, or a run
failed; 2 when an option is wrong or something is missing.
""" % "\n".join(f"  {name:<11} {about}" for name, about in KINDS.items())


class Failed(Exception):
    """A count that is none; the text says why."""


def count_once(allocator, command):
    """The instructions of one run."""
    environment = {**allocators.without_settings(os.environ), **allocators.settings(allocator)}
    result = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command],
        env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"Collected *: *(\d+)", result.stderr)
    if result.returncode != 0 or not found or "ld.so: object" in result.stderr:
        tail = "; ".join(result.stderr.strip().splitlines()[-3:])
        raise Failed(f"{' '.join(command)} under {allocator.name}: {tail}")
    return int(found[1])


def count(allocator, kind, program):
    """Instructions per round."""
    once, twice = (count_once(allocator, [program, kind, str(rounds)])
                   for rounds in (ROUNDS, 2 * ROUNDS))
    return (twice - once) / ROUNDS


def load(path):
    """{(kind, allocator): instructions}; empty where there is no file."""
    if not path.exists():
        return {}
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return {(row["kind"], row["allocator"]): float(row["instructions"])
            for row in csv.DictReader(lines)}


def save(path, numbers):
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write("# script/count-instructions --update\n")
        file.write(f"# {rows.describe_machine()}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "allocator", "instructions"])
        writer.writerows([*key, f"{value:.1f}"] for key, value in numbers.items())


def is_worse(value, golden):
    return golden is not None and value > golden * (1 + TOLERANCE) + 1


def render(numbers, golden, names):
    """The table: a row for each kind; beside Stepwell's number the golden one."""
    lines = [["instructions per malloc and free", *names, "golden", "/best"]]
    for kind in dict.fromkeys(kind for kind, _ in numbers):
        ours = numbers.get((kind, "stepwell"))
        peers = [value for (k, name), value in numbers.items() if k == kind and name != "stepwell"]
        kept = golden.get((kind, "stepwell"))
        best = table.ratio(ours, min(peers, default=None))
        lines.append([f"{kind}: {KINDS[kind]}", *(f"{numbers[kind, name]:.0f}" for name in names),
                      "-" if kept is None else f"{kept:.0f}", table.show_ratio(best)])
    return "\n".join(table.lay_out(lines)) + "\n"


def verdict(numbers, golden):
    """(exit code, lines) of Stepwell's numbers beside the golden ones."""
    lines, code = [], 0
    for (kind, name), value in numbers.items():
        kept = golden.get((kind, name))
        if name == "stepwell" and kept is None:
            code = 1
            lines.append(f"{kind}: no number in {GOLDEN.name}: --update keeps this one")
        elif name == "stepwell" and is_worse(value, kept):
            code = 1
            lines.append(f"{kind}: {value:.0f} instructions, and {kept:.0f} in {GOLDEN.name}")
        elif name == "stepwell" and kept is not None and is_worse(kept, value):
            lines.append(f"{kind}: {value:.0f} instructions, down from {kept:.0f}: "
                         "--update keeps that")
    return code, lines


def find(options):
    """The allocators to count under: Stepwell, and the peers that are here."""
    wanted = [a for a in allocators.PEERS if a.name in PEERS] if not options.ours else []
    found = [allocators.locate(a) for a in (*wanted, allocators.ours(None, options.build))]
    if found[-1] is None:
        raise Failed(f"Stepwell is not built in {options.build}: script/count-instructions builds")
    return [allocator for allocator in found if allocator]


def parse(words):
    parser = argparse.ArgumentParser(
        prog="count-instructions", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", metavar="A,B", help="only these")
    parser.add_argument("--ours", action="store_true", help="Stepwell only")
    parser.add_argument("--update", action="store_true", help="keep the numbers as golden ones")
    parser.add_argument("--build", default=str(ROOT / "build"), metavar="DIR",
                        help="where Stepwell is built (default: build)")
    options = parser.parse_args(words)
    options.kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    unknown = [kind for kind in options.kinds if kind not in KINDS]
    if unknown:
        parser.error(f"no kind '{unknown[0]}': there are {', '.join(KINDS)}")
    return options


def count_all(options, candidates):
    numbers = {}
    program = str(pathlib.Path(options.build, "bin", "programs", "pairs"))
    for index, kind in enumerate(options.kinds, 1):
        print(f"[{index}/{len(options.kinds)}] {kind}", file=sys.stderr)
        for allocator in candidates:
            numbers[kind, allocator.name] = count(allocator, kind, program)
    return numbers


def main(words):
    options = parse(words)
    if not shutil.which("valgrind"):
        print("count-instructions: it takes: apt-get install valgrind", file=sys.stderr)
        return 2
    try:
        candidates = find(options)
    except Failed as reason:
        print(f"count-instructions: {reason}", file=sys.stderr)
        return 2
    golden = load(GOLDEN)
    try:
        numbers = count_all(options, candidates)
    except Failed as reason:
        print(f"count-instructions: {reason}", file=sys.stderr)
        return 1
    print(render(numbers, golden, [allocator.name for allocator in candidates]), end="")
    if options.update:
        save(GOLDEN, {**golden, **numbers})
        return 0
    code, lines = verdict(numbers, golden)
    for line in lines:
        print(line)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
