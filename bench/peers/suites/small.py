"""Small objects: the shapes that allocators are commonly compared on, and what a process costs.

The shapes are bench/programs/NAME.c; what each does is told there.
"""
from program import CPU, FAULTS, RESIDENT, WALL, Column, Program, Suite

PER_OPERATION = Column("ns_per_op", "CPU", "ns/op")
SLOWEST = Column("worst_ns", "slowest size", "ns")
LATER = Column("resident_1000ms", "1 s later", "MiB")
ITS_SIZE = Column("worst_size", "its size", "KiB", ratios=False, of="worst_ns")


def shape(source, about, threads=1, more=()):
    """A program of bench/programs. It does the same operations everywhere."""
    name = source.replace("_", "-") + (f"-{threads}" if threads > 1 else "")
    threaded = f", {threads} threads" if threads > 1 else ""
    wall = (WALL,) if threads > 1 else ()
    return Program(name, about + threaded,
                   ("{bin}/" + source, "--threads", str(threads)), quick=("--quick",),
                   columns=(PER_OPERATION, RESIDENT, *wall, *more, FAULTS))


def python(name, about, code, modules=()):
    """A Python that runs a line of code."""
    return Program(name, about, ("{python}", "-c", code), columns=(CPU, RESIDENT, FAULTS),
                   modules=modules)


SUITE = Suite("small", "small objects, and the base cost of a process", (
    shape("tiny", "8 to 64 bytes, short-lived"),
    shape("tiny", "8 to 64 bytes, short-lived", 2),
    shape("pareto", "Pareto sizes at random places (alloc-test)"),
    shape("pareto", "Pareto sizes at random places (alloc-test)", 2),
    shape("bignum", "short-lived numbers, arithmetic between (cfrac)"),
    shape("fifo_lifo", "blocks of one size, freed first and last first (glibc-simple)"),
    shape("slots", "a working set of mixed sizes (glibc-thread)"),
    shape("slots", "a working set of mixed sizes (glibc-thread)", 2),
    shape("larson", "a server whose objects go from thread to thread"),
    shape("larson", "a server whose objects go from thread to thread", 2),
    shape("xmalloc", "one thread frees what another allocates", 2),
    shape("handover", "batches made by one thread, freed by another", 2, more=(LATER,)),
    shape("mstress", "threads end, objects survive them"),
    shape("mstress", "threads end, objects survive them", 2),
    shape("pool", "a pool of threads that have served, and wait", 64, more=(LATER,)),
    shape("cache_scratch", "passive false sharing"),
    shape("cache_scratch", "passive false sharing", 2),
    shape("cache_thrash", "active false sharing"),
    shape("cache_thrash", "active false sharing", 2),
    shape("buffers", "100 live buffers of 16 to 256 KiB, replaced at random"),
    shape("buffers", "100 live buffers of 16 to 256 KiB, replaced at random", 2),
    shape("large", "20 live blocks of 5 to 25 MiB (malloc-large)"),
    shape("growth", "buffers that grow by realloc"),
    shape("columns", "four buffers that grow in turn, to 46 MiB each"),
    shape("tokens", "text is generated: blocks that get longer by being copied", more=(LATER,)),
    shape("tokens", "text is generated: blocks that get longer by being copied", 2,
          more=(LATER,)),
    shape("phases", "sizes change, a little of each stays", more=(LATER,)),
    shape("bursts", "bursts of 100 MiB, and rests", more=(LATER,)),
    shape("sweep", "each size from 4 KiB to 64 MiB in steps of 5 %", more=(SLOWEST, ITS_SIZE)),
    Program("trivial", "a process that does nothing", ("/bin/true",)),
    python("python", "an interpreter that does nothing", "pass"),
    python("import-torch", "python3 -c 'import torch'", "import torch",
           (("torch", "python3-torch"),)),
))
