"""Runs programs under allocators: interleaved, the order drawn anew in each round."""
import concurrent.futures
import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time

import allocators


class Failed(Exception):
    """A run that gave no numbers; the text says why."""


def expand(words, places):
    """The command with {bin}, {python} and {source} filled in."""
    expanded = []
    for word in words:
        for name, path in places.items():
            word = word.replace("{%s}" % name, str(path))
        expanded.append(word)
    return expanded


def last_object(text):
    """The numbers of the JSON object on the last line; none where that is something else."""
    lines = text.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)}


def explain(code, errors):
    """Why a run failed: how it ended, and the end of what it wrote to standard error."""
    how = f"ended by signal {code - 128}" if code > 128 else f"exit code {code}"
    tail = errors.strip().splitlines()[-3:]
    return "; ".join([how, *tail])


RUNNING = set()  # the processes, each the first of a group
STOPPED = threading.Event()  # and none of them is to run on


def end(process):
    """With all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def finish(process, timeout):
    """What the process wrote, and its exit code; all it started is ended with it."""
    RUNNING.add(process)
    try:
        if STOPPED.is_set():
            end(process)
        return *process.communicate(timeout=timeout), process.returncode
    except BaseException as reason:
        end(process)
        process.communicate()
        if isinstance(reason, subprocess.TimeoutExpired):
            raise Failed(f"still running after {timeout:g} s, ended") from None
        raise
    finally:
        RUNNING.discard(process)


def launch(program, allocator, places, further, timeout, mode=()):
    """One run: what it printed last, and what was seen from outside. Raises Failed."""
    settings = {**allocators.settings(allocator), **program.environment}
    words = [*program.command, *further(program, not mode)]
    with tempfile.TemporaryFile() as report:
        process = subprocess.Popen(
            [os.path.join(places["bin"], "measure"), *mode, str(report.fileno()),
             *(f"{key}={value}" for key, value in settings.items()), "--",
             *expand(words, places)],
            env=allocators.without_settings(os.environ), pass_fds=[report.fileno()], text=True,
            errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        output, errors, code = finish(process, timeout)
        if code != 0:
            raise Failed(explain(code, errors))
        complaints = [line for line in errors.splitlines()
                      if "ld.so: object" in line or line.startswith("stepwell: ")]
        if complaints:
            raise Failed(f"the allocator was not preloaded as told: {complaints[0]}")
        report.seek(0)
        try:
            return {**json.load(report), **last_object(output)}
        except ValueError:
            raise Failed("the program that measures left no report: is the disk full?") from None


def measure(*how):
    """The numbers of a run."""
    return launch(*how)


# Of a run that is slowed down these hold all the same: what the process has ten seconds after its
# work, and what limits.py takes off.
OF_UNTIMED = ("resident_10000ms", "file_growth", "mapped_growth", "lb", "requested_1000ms")


def count(*how):
    """Memory system calls per step, from a run that is slowed down by the counting."""
    numbers = launch(*how, ("--calls",))
    if "memory_calls" not in numbers or not numbers.get("steps"):
        raise Failed("its memory system calls were not counted: it set no marks")
    return {"memory_calls_per_step": numbers["memory_calls"] / numbers["steps"],
            **{key: numbers[key] for key in OF_UNTIMED if key in numbers}}


# So many runs in which nothing is timed, and which wait for most of it.
AT_ONCE = 2 * (os.cpu_count() or 1)


class Progress:
    """Lines on standard error, with the time left as earlier runs let expect it. An untimed run takes
    longer than a timed one, so what is known of the one kind tells of the other by their ratio."""

    def __init__(self, total, stream):
        self.total, self.stream = total, stream
        self.done = 0
        self.took = {True: {}, False: {}}  # of timed runs and untimed ones

    def ratio(self, timed):
        """Of such runs' seconds to the others', where both are known."""
        these, others = self.took[timed], self.took[not timed]
        both = these.keys() & others.keys()
        return sum(these[pair] for pair in both) / sum(others[pair] for pair in both) if both else 1.0

    def expected(self, timed, program, allocator):
        """Seconds of a run: those of the same, or of the same program, or of any."""
        for wanted in ((program, allocator), (program,), ()):
            for kind in (timed, not timed):
                known = [seconds for pair, seconds in self.took[kind].items()
                         if pair[:len(wanted)] == wanted]
                if known:
                    mean = sum(known) / len(known)
                    return mean if kind == timed else mean * self.ratio(timed)
        return 0.0

    def add(self, timed, program, allocator, seconds, left):
        self.done += 1
        self.took[timed][program, allocator] = seconds
        remaining = sum(
            self.expected(number > 0, program.name, allocator.name) / (1 if number else AT_ONCE)
            for number, program, allocator in left)
        minutes, rest = divmod(round(remaining), 60)
        self.say(f"[{self.done}/{self.total}] {program} under {allocator}: {seconds:.1f} s, "
                 f"{minutes}:{rest:02d} min left")

    def say(self, text):
        if self.stream.isatty():
            print(f"\r\033[K{text}", end="", file=self.stream, flush=True)
        else:
            print(text, file=self.stream, flush=True)


def draw_order(programs, candidates, meter, rounds, seed):
    """Every program under every allocator, once in each round: (round, program, allocator). A round's
    runs of one program follow each other, so that a quarter of an hour in which the machine is slow
    is slow for all that are compared. Before the first is round 0, in which nothing is timed and
    memory system calls are counted."""
    generator = random.Random(seed)
    order = [(0, program, allocator) for program in programs if program.counted
             for allocator in candidates]
    for number in range(1, rounds + 1):
        for program in generator.sample(programs, len(programs)):
            under = [*candidates, *([meter] if program.metered else [])]
            generator.shuffle(under)
            order += [(number, program, allocator) for allocator in under]
    return order


def run_one(entry, places, further, timeout):
    """The row of a run, and the seconds it took."""
    number, program, allocator = entry
    start = time.monotonic()
    row = {"program": program.name, "allocator": allocator.name, "round": number, "failed": ""}
    try:
        look = measure if number else count
        row.update(look(program, allocator, places, further, timeout))
    except Failed as reason:
        row["failed"] = str(reason)
    return row, time.monotonic() - start


def run_at_once(entries, *how):
    """(entry, row, seconds) of each, as they end; several run at a time."""
    STOPPED.clear()
    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    try:
        entry_of = {pool.submit(run_one, entry, *how): entry for entry in entries}
        for future in concurrent.futures.as_completed(entry_of):
            yield entry_of[future], *future.result()
    except BaseException:  # only this thread is told: what the others wait for is to end
        pool.shutdown(wait=False, cancel_futures=True)
        STOPPED.set()
        for process in tuple(RUNNING):
            end(process)
        raise
    finally:
        pool.shutdown()


def run_in_turn(entries, *how):
    for entry in entries:
        yield entry, *run_one(entry, *how)


def run_all(order, places, further, timeout, progress):
    """A row for each run, as it ends: who ran, and its numbers or why there are none. further()
    gives a program's further arguments, for a timed run or another."""
    left = list(order)
    how = (places, further, timeout)
    untimed = [entry for entry in order if entry[0] == 0]
    timed = [entry for entry in order if entry[0] > 0]
    for results in (run_at_once(untimed, *how), run_in_turn(timed, *how)):
        for entry, row, seconds in results:
            left.remove(entry)
            number, program, allocator = entry
            if row["failed"]:
                progress.say(f"{program.name} under {allocator.name} failed: {row['failed']}\n")
            progress.add(number > 0, program.name, allocator.name, seconds, left)
            yield row
