"""What an unmodified PyTorch, NumPy and scikit-learn do in their steps: bench/workloads/. And what
is left of such a step when only its tensors are: bench/programs/step_loop.c, over sizes."""
import pathlib
import sys

from program import FAULTS, RESIDENT, Column, Program, Suite

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "workloads"))
from catalogue import WORKLOADS  # noqa: E402

# The mean: what all steps cost. A median hides what every third step pays, and where steps differ
# it is one step's time, not under each allocator the same one's.
CPU_STEP = Column("step_ms_mean", "CPU/step", "ms")
WALL_STEP = Column("step_ms_mean", "wall/step", "ms")
OVERHEAD = Column("overhead", "overhead")
REST = (
    Column("step_ms", "median", "ms", ratios=False),
    Column("page_faults_per_step", "faults/step", ratios=False),
    Column("memory_calls_per_step", "calls/step", ratios=False),
    Column("sys_ms_per_step", "sys/step", "ms", ratios=False),
    Column("retention_1000ms", "kept idle", "MiB", ratios=False),
    Column("retention_10000ms", "10 s later", "MiB", ratios=False),
    Column("first_step_ratio", "step after", ratios=False),
    Column("resident_start", "at start", "MiB", ratios=False),
    Column("huge_pages", "huge", "MiB", ratios=False),
)


def program(workload, threads):
    time = WALL_STEP if threads > 1 or workload.own_threads else CPU_STEP
    memory = RESIDENT if workload.small else OVERHEAD
    return Program(
        workload.name if threads == 1 else f"{workload.name}-{threads}",
        workload.about + ("" if threads == 1 else f"; {threads} threads"),
        ("{python}", "{source}/bench/workloads", workload.name, "--threads", str(threads)),
        quick=("--steps", "3"), untimed=("--long-idle",), columns=(time, memory, *REST),
        modules=workload.modules, metered=True, counted=True)


def step_loop(kind, about, largest):
    """largest is in MiB, of the twelve tensors; the program knows its own LB. About as much is written
    whatever the size: where a step takes half a millisecond, twenty-five of them tell little."""
    steps = 25 * 48 // largest
    return Program(
        f"tensors-{kind}-{largest}", f"twelve tensors, the largest of {largest} MiB, {about}",
        ("{bin}/step_loop", kind, "--largest", str(largest << 10), "--steps", str(steps)),
        quick=("--steps", "3"),
        untimed=("--long-idle",), counted=True,
        columns=(WALL_STEP if kind == "threads" else CPU_STEP, OVERHEAD, *REST))


KINDS = {"fixed": "the same in every step", "ragged": "of other sizes in every step",
         "threads": "in each of two threads"}

SUITE = Suite("torch", "training and inference with PyTorch, NumPy and scikit-learn", (
    *(program(workload, 1) for workload in WORKLOADS.values()),
    *(program(workload, 2) for workload in WORKLOADS.values() if workload.two_threads),
    *(step_loop(kind, about, largest) for kind, about in KINDS.items() for largest in (48, 8, 2)),
))
