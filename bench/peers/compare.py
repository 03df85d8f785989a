"""Unmodified programs under Stepwell and under every other allocator found, side by side."""
import argparse
import difflib
import importlib.util
import os
import pathlib
import random
import re
import signal
import sys

import allocators
import limits
import markdown
import picture
import rows
import run
import suites
import table

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STRATEGIES = re.findall(r"(?:BUILT_IN|SEPARATE)\((\w+)[,)]",
                        (ROOT / "alloc" / "strategies.h").read_text())

EPILOG = """\
A table goes to standard output, progress to standard error. CPU time is user and system time of all
threads; figures are medians over the rounds; /glibc and /best are ratios, /best to the best
allocator that is not ours. Below 1.00 is less, and less is better.

columns of the suite small:
  CPU ns/op, CPU ms     of an operation, or of a process that tells of none
  wall ms               the same work by the clock, where it is of several threads
  peak RSS, page faults of the whole process
  1 s later             resident a second after the work stopped
  slowest size, its size  time of an operation of the size that takes longest, and which that is

columns of the suite torch:
  CPU/step, wall/step   mean of the steps, in a process of one thread or of several
  median                of the same
  overhead              peak growth of resident memory by the least that any allocator could hold
  faults/step, calls/step, sys/step   page faults, memory system calls, time in the kernel
  kept idle, 10 s later resident above what is live, 1 s and 10 s after the work stopped
  step after            the first step after that second, by a normal one, both by the clock
  at start              resident when the program has its modules, before its first step
  huge                  of it in huge pages, at the end

examples:
  script/compare-peers --quick
  script/compare-peers --suite small --rounds 5 --csv small.csv --picture small.svg
  script/compare-peers --programs larson-2,xmalloc-2 --allocators glibc,mimalloc,stepwell
  script/compare-peers --allocators glibc --strategies sizeclass,pool
  script/compare-peers --from-csv bench/results/small.csv --picture small.svg

Exit code 0; 1 when a run failed; 2 when an option or a name is wrong, or an allocator that was asked
for is not on this machine.
"""


class Wrong(Exception):
    """What the user asked for cannot be done; the text says why, and what to do."""


def say(text):
    print(f"compare-peers: {text}", file=sys.stderr)


def parse(words):
    parser = argparse.ArgumentParser(
        prog="compare-peers", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(suites.names())
    parser.add_argument("--suite", default="small", help=f"one of: {names} (default: small)")
    parser.add_argument("--programs", metavar="A,B", help="only these; --list shows them")
    parser.add_argument("--allocators", metavar="A,B", help="only these; --list shows them")
    parser.add_argument("--strategies", metavar="A,B",
                        help=f"also Stepwell with these: {', '.join(STRATEGIES)}")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="each program under each allocator N times (default: 5, quick: 1)")
    parser.add_argument("--quick", action="store_true",
                        help="short runs: shows that all works, and says little about speed")
    parser.add_argument("--seed", type=int, help="of the order of runs (default: drawn)")
    parser.add_argument("--timeout", type=float, default=600, metavar="S",
                        help="ends a run after S seconds (default: 600)")
    parser.add_argument("--csv", metavar="FILE", help="write a row for each run")
    parser.add_argument("--picture", metavar="FILE",
                        help="draw time against memory as an SVG file")
    parser.add_argument("--from-csv", metavar="FILE", help="run nothing: the table of this file")
    parser.add_argument("--markdown", action="store_true",
                        help="the table in Markdown, of two ratios a cell: time to glibc's, and"
                             " memory to glibc's or, for steps, to the least possible")
    parser.add_argument("--list", action="store_true", help="the programs and the allocators")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--build", default=str(ROOT / "build"), metavar="DIR",
                        help="where Stepwell is built (default: build)")
    options = parser.parse_args(words)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.rounds < 1 or options.timeout <= 0:
        parser.error("--rounds and --timeout are above zero")
    return options


def choose(names, known, what):
    """The names in the order of the known ones; all where none is given."""
    if names is None:
        return list(known)
    wanted = [name for name in names.split(",") if name]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"do you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise Wrong(f"no {what} '{name}': {hint}")
    return [name for name in known if name in wanted]


def load_suite(name):
    chosen = choose(name, suites.names(), "suite")
    if len(chosen) != 1:
        raise Wrong(f"one suite is wanted, of {', '.join(suites.names())}")
    return suites.load(chosen[0])


def say_missing(missing):
    packages = sorted({allocator.package for allocator in missing if allocator.package})
    say(f"not on this machine: {', '.join(allocator.name for allocator in missing)}"
        + (f"; apt-get install {' '.join(packages)}" if packages else ""))


def choose_allocators(options):
    table_of_all = {a.name: a for a in (*allocators.PEERS, allocators.ours(None, options.build))}
    chosen = choose(options.allocators, table_of_all, "allocator")
    candidates = [table_of_all[name] for name in chosen]
    strategies = choose(options.strategies or "", STRATEGIES, "strategy")
    return candidates + [allocators.ours(strategy, options.build) for strategy in strategies]


def find_allocators(options):
    """The rows to run, with the libraries' paths, and all names in the table's order."""
    candidates = choose_allocators(options)
    found = [allocators.locate(allocator) for allocator in candidates]
    missing = [wanted for wanted, got in zip(candidates, found) if got is None]
    if missing:
        say_missing(missing)
    if any(allocator.ours for allocator in missing):
        raise Wrong(f"Stepwell is not built in {options.build}: script/compare-peers builds it")
    if missing and options.allocators:
        raise Wrong("an allocator that was asked for is missing")
    return [allocator for allocator in found if allocator]


def lacks_module(program):
    """The packages of the Python modules that the program needs and this machine has not."""
    return [package for module, package in program.modules
            if importlib.util.find_spec(module) is None]


def find_programs(options, suite):
    known = {program.name: program for program in suite.programs}
    found = []
    for name in choose(options.programs, known, "program"):
        packages = lacks_module(known[name])
        if packages:
            say(f"{name} is left out; it takes: apt-get install {' '.join(packages)}")
        else:
            found.append(known[name])
    if not found:
        raise Wrong("no program is left to run")
    return found


def show_list(options, suite):
    width = max(len(program.name) for program in suite.programs)
    print(f"{suite.name}: {suite.about}")
    for program in suite.programs:
        print(f"  {program.name:<{width}}  {program.about}")
    print("allocators:")
    for allocator in (*allocators.PEERS, allocators.ours(None, options.build)):
        where = "" if allocators.locate(allocator) else " (not on this machine)"
        print(f"  {allocator.name:<{width}}  {allocator.about}{where}")


def show(options, suite, done, names, comments):
    """The table of the rows, and the picture where it is asked for."""
    render = markdown.render if options.markdown else table.render
    print(render(suite.programs, limits.apply(done), names), end="")
    if options.picture:
        picture.save(options.picture, suite, done, names, comments)
        say(f"the picture is in {options.picture}")


def choose_rows(options, suite, saved):
    """Those that were asked for, and of the meter what is taken off them."""
    programs = choose(options.programs, [program.name for program in suite.programs], "program")
    known = dict.fromkeys(row["allocator"] for row in saved if row["allocator"] != limits.METER)
    wanted = {*choose(options.allocators, known, "allocator"), limits.METER}
    return [row for row in saved if row["program"] in programs and row["allocator"] in wanted]


def show_saved(options):
    """The table of a CSV file."""
    comments, saved = rows.load(options.from_csv)
    if not saved:
        raise Wrong(f"{options.from_csv} has no rows")
    suite = load_suite(saved[0]["suite"])
    chosen = choose_rows(options, suite, saved)
    names = [a.name for a in allocators.PEERS]
    if not options.markdown:
        print("\n".join(comments), end="\n\n")
    show(options, suite, chosen, names, comments)
    failed = [row for row in chosen if row["failed"]]
    for row in failed:
        say(f"round {row['round']} of {row['program']} under {row['allocator']} failed:"
            f" {row['failed']}")
    return 1 if failed else 0


def check_outputs(options):
    """Before the work: a file that cannot be written would be known of when all is done."""
    for name, is_written_beside in ((options.csv, True), (options.picture, False)):
        if not name:
            continue
        path = pathlib.Path(name)
        if path.is_dir():
            raise Wrong(f"{path} is a folder: name a file")
        if not path.parent.is_dir():
            raise Wrong(f"{path} cannot be written: there is no folder {path.parent}")
        where = path.parent if is_written_beside or not path.exists() else path
        if not os.access(where, os.W_OK):
            raise Wrong(f"{path} cannot be written: {where} may not be written to")


def check_words(options):
    """All that can be wrong before anything is built."""
    check_outputs(options)
    choose(options.programs, [program.name for program in load_suite(options.suite).programs],
           "program")
    choose_allocators(options)


def further_arguments(options):
    """What is added to a program's command."""
    def further(program, timed):
        return program.quick if options.quick else () if timed else program.untimed
    return further


def run_suite(options, words):
    suite = load_suite(options.suite)
    programs = find_programs(options, suite)
    candidates = find_allocators(options)
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    comments = rows.header(words, seed)
    say(f"seed {seed}")
    order = run.draw_order(programs, candidates, allocators.meter(options.build), options.rounds,
                           seed)
    places = {"bin": pathlib.Path(options.build, "bin", "programs"), "python": "/usr/bin/python3",
              "source": ROOT}
    further = further_arguments(options)
    done = []
    try:
        for row in run.run_all(order, places, further, options.timeout,
                               run.Progress(len(order), sys.stderr)):
            done.append({"suite": suite.name, **row})
            if options.csv and len(done) % (len(order) // options.rounds) == 0:
                rows.save(options.csv, comments, done)
    except KeyboardInterrupt:
        say("interrupted; this is what there is")
    finally:
        if options.csv and done:
            rows.save(options.csv, comments, done)
    show(options, suite, done, [allocator.name for allocator in candidates], comments)
    return 1 if len(done) < len(order) or any(row["failed"] for row in done) else 0


def stop_with_all_programs():
    """A signal that would end us leaves none of them behind; and that they end is for us to know."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def main(words):
    options = parse(words)
    stop_with_all_programs()
    try:
        if options.check:
            check_words(options)
            return 0
        check_outputs(options)
        if options.list:
            show_list(options, load_suite(options.suite))
            return 0
        return show_saved(options) if options.from_csv else run_suite(options, words)
    except (Wrong, OSError, ValueError) as problem:
        say(problem)
        return 2
