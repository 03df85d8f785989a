"""What one process takes for a workload's steps, measured from inside it.

A workload is a function that builds what it needs and returns `step`, to be called with the number
of the step, and `forget`, which drops what a program drops when it has nothing to do. The same
number always means the same shapes, whatever ran before: so every allocator is given the same walk.

Measuring starts when all is built: growth is from there. Three steps warm up; then each step is
timed, in CPU time where one thread computes and by the clock where there are more. A second after
the last one, in which nothing is called, the process is looked at again, and the step of median
time is run once more, to see what idling cost: by the clock, for it is a wait.

The figures have the names of the glossary in alloc/stepwell.h; bytes, unless the name has a unit.
"""
import ctypes
import gc
import os
import resource
import statistics
import time

WARM_UP = 3
MARK_START, MARK_STOP = 0x53570001, 0x53570002  # bench/command/syscalls.h


class Meter:
    """What libstepwell-meter.so (bench/meter) counts where it is preloaded; else nothing."""

    def __init__(self):
        self.library = ctypes.CDLL(None)
        self.present = hasattr(self.library, "sw_meter_start")
        if self.present:
            for name in ("sw_meter_live", "sw_meter_peak", "sw_meter_mapped"):
                getattr(self.library, name).restype = ctypes.c_int64
            self.library.sw_meter_start.restype = None
            self.library.sw_meter_start()

    def at_peak(self):
        if not self.present:
            return {}
        return {"lb": self.library.sw_meter_peak(),
                "mapped_growth": self.library.sw_meter_mapped()}

    def at_idle(self):
        return {"requested_1000ms": self.library.sw_meter_live()} if self.present else {}


def of_process(*names):
    """Fields of /proc/self/status, in bytes."""
    found = {}
    with open("/proc/self/status") as status:
        for line in status:
            name, _, value = line.partition(":")
            if name in names:
                found[name] = int(value.split()[0]) * 1024
    return [found[name] for name in names]


def resident():
    return of_process("VmRSS")[0]


def file_pages():
    return sum(of_process("RssFile", "RssShmem"))


def huge_pages():
    with open("/proc/self/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith("AnonHugePages:"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak():
    """The kernel's high-water mark of resident memory begins anew."""
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")


def mark_counting(mark):
    """For whoever counts this process's memory system calls; harmless where nobody does."""
    ctypes.CDLL(None).madvise(None, ctypes.c_size_t(0), mark)


def timed(step, number):
    """Milliseconds of processor time, and by the clock."""
    began = time.process_time(), time.perf_counter()
    step(number)
    return (time.process_time() - began[0]) * 1e3, (time.perf_counter() - began[1]) * 1e3


def run_steps(step, steps, by_clock):
    """Both times of each step, and what the kernel says they took."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    mark_counting(MARK_START)
    both = [timed(step, WARM_UP + i) for i in range(steps)]
    mark_counting(MARK_STOP)
    after = resource.getrusage(resource.RUSAGE_SELF)
    times = [each[by_clock] for each in both]
    faults = (after.ru_minflt - before.ru_minflt) + (after.ru_majflt - before.ru_majflt)
    return both, {
        "step_ms": statistics.median_low(times),
        "step_ms_min": min(times),
        "step_ms_mean": statistics.fmean(times),
        "sys_ms_per_step": (after.ru_stime - before.ru_stime) * 1e3 / steps,
        "page_faults_per_step": faults / steps,
    }


def measure(build, steps, threads, by_clock, long_idle=False):
    """Builds the workload, runs it, and returns the figures."""
    step, forget = build()
    gc.collect()

    start, start_files = resident(), file_pages()
    meter = Meter()
    forget_peak()
    for number in range(WARM_UP):
        step(number)
    both, figures = run_steps(step, steps, by_clock)
    figures.update(
        steps=steps, threads=threads, resident_start=start,
        resident_peak_growth=of_process("VmHWM")[0] - start,
        file_growth=file_pages() - start_files,
        huge_pages=huge_pages(), **meter.at_peak())

    forget()
    time.sleep(1)
    figures.update(resident_1000ms=resident() - start, **meter.at_idle())
    median = next(i for i, each in enumerate(both) if each[by_clock] == figures["step_ms"])
    figures["first_step_ratio"] = timed(step, WARM_UP + median)[1] / both[median][1]
    if long_idle:
        forget()
        time.sleep(10)
        figures["resident_10000ms"] = resident() - start
    return figures


def limit_threads(threads):
    """Before NumPy or PyTorch is loaded: their libraries look at the environment once."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
