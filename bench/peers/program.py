"""What a suite is made of.

A suite is one file in suites/ that ends in SUITE. It lists programs; a program is run under every
allocator and prints, if it likes, numbers of its own: a JSON object on the last line of its
standard output. These stand beside what is measured from outside, and take precedence over it:

    cpu_ms         user and system time, of all threads
    wall_ms        from start to end
    resident_peak  the largest resident size, bytes
    page_faults    minor and major

In each number less is better. Keys are the words of stepwell.h's glossary, with a unit unless it
is bytes.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Column:
    """One number of a program in the table."""

    key: str
    title: str
    unit: str = ""  # MiB, KiB: the number is bytes
    ratios: bool = True  # to glibc, and to the best peer
    of: str = ""  # another's key: what this was in the run with the median of that


CPU = Column("cpu_ms", "CPU", "ms")
WALL = Column("wall_ms", "wall", "ms")
RESIDENT = Column("resident_peak", "peak RSS", "MiB")
FAULTS = Column("page_faults", "page faults", ratios=False)


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    about: str  # what is measured, one line
    # {bin} is where the build leaves programs, {python} the system's Python, {source} the project.
    command: tuple
    quick: tuple = ()  # further arguments that make it a short run
    untimed: tuple = ()  # further arguments where nothing is timed, and waiting costs nothing
    columns: tuple = (CPU, RESIDENT, FAULTS)  # the first is the time, the second the memory
    environment: dict = dataclasses.field(default_factory=dict)
    metered: bool = False  # also run once in each round under the meter (limits.py)
    counted: bool = False  # its memory system calls are, in an untimed run: it sets marks
    modules: tuple = ()  # Python modules it needs, each with its package: ("torch", "python3-torch")


@dataclasses.dataclass(frozen=True)
class Suite:
    name: str
    about: str
    programs: tuple
