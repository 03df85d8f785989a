#!/usr/bin/python3
"""Runs programs plainly and under the preload library, and compares.

usage: under.py [OPTION...] -- COMMAND...     one program
       under.py [OPTION...] --list FILE       many: shell scripts, a blank line after each

  --strategies A,B   under these; all of the list if not given
  --under A,B        these must have been under us, by the name they were called by
  --checked          and once in checked mode, where the library has one
  --never-checked    not even where every strategy is asked for
  --steady           the program is a loop: its resident memory must not grow
  --timeout S        longest a run may take (default 120)

Under us a program must write the same to stdout, exit with the same code, and have nothing of ours
on stderr; and the table that it writes at its end must be there, else it may not have been under us
at all. A script of a list says whose by a line "# under: NAME...", or it is its first command's.
Plainly it must succeed, a script in each part of a pipe. Each run starts in an empty directory, of
the same path each time. A program that exits with 77 when run plainly is left out, and so is a
script whose first program is not installed; 77 is then our exit code too. The build directory is
STEPWELL_BUILD_DIR's.
Where STEPWELL_EVERY_STRATEGY is set, all but loops run under every strategy and in checked mode.
"""
import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SKIPPED, NOT_FOUND = 77, 127
BUILD = os.environ.get("STEPWELL_BUILD_DIR", "build")
LIBRARIES = [os.path.join(os.path.abspath(BUILD), "lib", name)
             for name in ("libstepwell-preload.so", "libstepwell-jemalloc.so")]
OUR_VARIABLES = "LD_PRELOAD", "STEPWELL_STRATEGY", "STEPWELL_CONF", "STEPWELL_STATS"
OURS_ON_STDERR = (b"stepwell:", b"ERROR: ld.so")
SAMPLE_EVERY = 0.02  # seconds
STEADY_RUNS = 3
MIB = 1 << 20


class Way:
    """A way to run programs: its name and what it adds to the environment."""

    def __init__(self, name, strategy=None, conf=None):
        self.name = name
        self.strategy = strategy
        self.environment = {key: value for key, value in os.environ.items()
                            if key not in OUR_VARIABLES}
        if strategy:
            self.environment["STEPWELL_STRATEGY"] = strategy
            self.environment["LD_PRELOAD"] = ":".join(LIBRARIES)
        if conf:
            self.environment["STEPWELL_CONF"] = conf
        # What part of the peak the median of a quarter may differ by from that of another where
        # nothing grows. A checked block weighs a small one's size several times over, and threads
        # that are four times as slow meet otherwise.
        self.chance = 1 / 4 if conf else 1 / 10

    def statistics(self):
        """What the library says of a small program."""
        done = subprocess.run(["ls", os.devnull], env={**self.environment, "STEPWELL_STATS": "1"},
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        return done.stderr.decode()

    def check(self):
        """Whatever is compared is worth something only where the library is really at work."""
        said = self.statistics()
        if (f"strategy {self.strategy}\n" not in said
                or "going on without" in said):
            sys.exit(f"the preload library is not at work under {self.name}:\n{said}")


PLAIN = Way("plain")


def ways_under_us(strategies, checked):
    if not strategies:
        command = os.path.join(BUILD, "bin", "stepwell")
        listed = json.loads(subprocess.check_output([command, "list", "--json"]))
        strategies = [row["name"] for row in listed["strategies"] if row["available"]]
    ways = [Way(name, name) for name in strategies]
    if checked:
        # A small quarantine: one that is still filling up would look like growth.
        ways.append(Way("checked", "auto", "checked:1,quarantine:1M"))
    for way in ways:
        way.check()
    return ways


def members(session):
    """The processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getsid(int(name)) == session:
                    found.append(int(name))
            except ProcessLookupError:
                pass
    return found


def resident(process):
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def kill_session(session):
    """Whom one of them starts meanwhile as well."""
    killed = set()
    while new := set(members(session)) - killed:
        for process in new:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        killed |= new


class Tables:
    """A folder, beside the one that programs run in, for the tables of those that end in one run.
    Where nobody is named none is asked for: it has a process keep a second stderr open."""

    def __init__(self, directory, are_asked_for):
        self.directory = directory
        self.are_asked_for = are_asked_for
        os.mkdir(directory)
        os.chmod(directory, 0o1777)  # some become another user

    def variables(self, way):
        return {"STEPWELL_STATS": f"{self.directory}/%p"} if way.strategy and self.are_asked_for else {}

    def take(self):
        """What they say; for the next run there is none."""
        texts = []
        for entry in list(os.scandir(self.directory)):
            with open(entry.path, encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
            os.unlink(entry.path)
        return "".join(texts)


class Run:
    """One run of a program in one way: code, out, err, tables, peak and samples (bytes), seconds."""

    def __init__(self, command, way, directory, limits):
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            self.chance = way.chance
            self.floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            started = time.monotonic()
            child = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=err, start_new_session=True,
                                     env={**way.environment, **limits.tables.variables(way)})
            self.timed_out = False
            self.samples = []
            try:
                self.code, self.peak = self.wait(child, started + limits.timeout, limits.steady)
            finally:  # also where we are to end ourselves
                kill_session(child.pid)
                child.wait()
            self.seconds = time.monotonic() - started
            self.out, self.err = [read_all(file) for file in (out, err)]
            self.tables = limits.tables.take()

    def wait(self, child, deadline, sampling):
        pause = 0.002
        while True:
            process, status, usage = os.wait4(child.pid, os.WNOHANG)
            if process:
                child.returncode = os.waitstatus_to_exitcode(status)
                return child.returncode, usage.ru_maxrss * 1024
            if time.monotonic() > deadline and not self.timed_out:
                self.timed_out = True
                kill_session(child.pid)
            if sampling:
                self.samples.append(max(map(resident, members(child.pid)), default=0))
            time.sleep(SAMPLE_EVERY if sampling else pause)
            pause = min(pause * 1.2, SAMPLE_EVERY)

    def growth(self):
        """From the second quarter of the run to the last, in bytes; the first is for warming up."""
        quarter = len(self.samples) // 4
        if quarter < 5:
            return None
        return median(self.samples[-quarter - 1:-1]) - median(self.samples[quarter:2 * quarter])


def read_all(file):
    file.seek(0)
    return file.read()


def median(numbers):
    return sorted(numbers)[len(numbers) // 2]


def first_difference(plain, ours):
    ones, others = plain.splitlines(), ours.splitlines()
    for index in range(max(len(ones), len(others))):
        one, other = [lines[index] if index < len(lines) else b"(the end)"
                      for lines in (ones, others)]
        if one != other:
            return f"line {index + 1}: plain {one[:300]!r}, ours {other[:300]!r}"
    return "in line ends"


def faults(plain, ours):
    """What is not as it was without us, a sentence each."""
    if ours.timed_out:
        yield f"did not end in {ours.seconds:.0f} s; plain, it took {plain.seconds:.1f} s"
        return
    if ours.code != plain.code:
        yield f"exit code {ours.code}, plain {plain.code}"
    if ours.out != plain.out:
        yield f"stdout differs in {first_difference(plain.out, ours.out)}"
    for line in ours.err.splitlines():
        if line.startswith(OURS_ON_STDERR):
            yield f"on stderr: {line.decode(errors='replace')}"
            break


def absence_faults(names, way, ours):
    """A program that allocated nothing has no strategy in its table."""
    tables = re.findall(r"^stepwell: (.+) \(pid \d+\), strategy (\w+)$", ours.tables, re.MULTILINE)
    for name in names:
        if (name, way.strategy) not in tables:
            there = ", ".join(sorted({f"{one} ({strategy})" for one, strategy in tables}))
            yield f"{name} was not under strategy {way.strategy}; these were: {there or 'none'}"


def growth_faults(plain, ours):
    growths = plain.growth(), ours.growth()
    if None in growths:
        yield f"too short to see growth: {plain.seconds:.1f} s, {ours.seconds:.1f} s"
    elif growths[1] > max(growths[0], 0) + 2 * MIB + ours.peak * ours.chance:
        yield f"grew by {growths[1] / MIB:.1f} MiB, plain by {growths[0] / MIB:.1f} MiB"


def run_steady(command, way, plain, directory, limits):
    """A run, and what is wrong with it. On a busy machine a loop may still be warming up where it is
    looked at: one that grows does so in each of some runs."""
    for _ in range(STEADY_RUNS):
        ours = Run(command, way, directory, limits)
        found, grown = list(faults(plain, ours)), list(growth_faults(plain, ours))
        if found or not grown:
            break
    return ours, found + grown


def run(command, names, way, plain, directory, limits):
    if limits.steady:
        ours, found = run_steady(command, way, plain, directory, limits)
    else:
        ours = Run(command, way, directory, limits)
        found = list(faults(plain, ours))
    if not ours.timed_out:
        found += absence_faults(names, way, ours)
    return ours, found


def peak_beside(plain, ours):
    """A child begins as a copy of ours, so its peak is never below what we had then."""
    if plain.peak <= plain.floor or ours.peak <= ours.floor:
        return f"peak below {ours.floor / MIB:.0f} MiB"
    return f"peak {ours.peak / MIB:.1f} MiB, {ours.peak / plain.peak:.2f} of plain"


def show_end(text, lines=15):
    for line in text.decode(errors="replace").splitlines()[-lines:]:
        print(f"    | {line[:300]}")


def is_left_out(plain, names):
    """A program that is not found may be a slip of the script's: only where it is the one that the
    script is about has that not been installed."""
    return plain.code == SKIPPED or (
        plain.code == NOT_FOUND and bool(names) and not shutil.which(names[0]))


def compare(title, command, names, ways, directory, limits):
    """True if good, None if left out."""
    plain = Run(command, PLAIN, directory, limits)
    if is_left_out(plain, names):
        print(f"left out: {title}")
        show_end(plain.out + plain.err, 3)
        return None
    if plain.timed_out or plain.code:
        print(f"BAD plain, with exit code {plain.code} after {plain.seconds:.1f} s: {title}")
        show_end(plain.out + plain.err)
        return False
    good = True
    print(f"{title}\n    plain: exit code {plain.code}, {len(plain.out)} bytes, "
          f"{plain.seconds:.1f} s, {peak_beside(plain, plain)}", flush=True)
    for way in ways:
        ours, found = run(command, names, way, plain, directory, limits)
        print(f"{'BAD' if found else 'ok '} {way.name:10} {ours.seconds:6.1f} s, "
              f"{peak_beside(plain, ours)}", flush=True)
        for fault in found:
            print(f"    {fault}")
        if found:
            show_end(ours.err)
        good = good and not found
    return good


def without_comments(script):
    return re.sub(r"^#.*\n", "", script, flags=re.MULTILINE)


def programs_of(script):
    """The names it says, or that of its first command."""
    said = re.search(r"^# under: (.+)$", script, re.MULTILINE)
    if said:
        return said.group(1).split()
    words = without_comments(script).split()
    return [os.path.basename(next(word for word in words if not re.match(r"\w+=", word)))]


def read_list(path):
    """Title, command and the names of its programs of each. The file's first paragraph says what it
    is."""
    with open(path, encoding="utf-8") as file:
        scripts = file.read().strip().split("\n\n")[1:]
    return [(without_comments(script).replace("\n", " ")[:100], ["bash", "-o", "pipefail", "-c", script],
             programs_of(script)) for script in scripts]


def parse_arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--strategies", type=lambda names: names.split(","))
    parser.add_argument("--under", type=lambda names: names.split(","), default=[])
    parser.add_argument("--checked", action="store_true")
    parser.add_argument("--never-checked", action="store_true")
    parser.add_argument("--steady", action="store_true")
    parser.add_argument("--timeout", type=float, default=120)
    parser.add_argument("--list")
    parser.add_argument("command", nargs="*")
    arguments = parser.parse_args()
    if bool(arguments.list) == bool(arguments.command):
        parser.error("either a list or a command")
    if arguments.list and arguments.under:
        parser.error("a list says itself who must be under us")
    if os.environ.get("STEPWELL_EVERY_STRATEGY") and not arguments.steady:
        arguments.strategies, arguments.checked = None, not arguments.never_checked
    return arguments


def end(number, _):
    sys.exit(128 + number)


def main():
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, end)
    arguments = parse_arguments()
    if arguments.list:
        programs = read_list(arguments.list)
    else:
        programs = [(" ".join(arguments.command), arguments.command, arguments.under)]
    ways = ways_under_us(arguments.strategies, arguments.checked)
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)
        arguments.tables = Tables(os.path.join(directory, "tables"),
                                  are_asked_for=bool(arguments.list or arguments.under))
        verdicts = [compare(*program, ways, os.path.join(directory, "run"), arguments)
                    for program in programs]
    if all(verdict is None for verdict in verdicts):
        sys.exit(SKIPPED)
    sys.exit(1 if False in verdicts else 0)


if __name__ == "__main__":
    main()
