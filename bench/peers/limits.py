"""How far above the least possible an allocator stays: the formulas, once.

LB is the largest growth of the bytes a program requests: no allocator can hold less. A program in C
may know its own and tell it as `lb`; for others a run under the meter (bench/meter/) counts it.
What grows beside the heap is taken off first: pages of files (code, above all) that are touched for
the first time, and memory that libraries map for themselves, OpenBLAS its buffer for instance.
Where threads meet by chance (those of the suite torch's `server`) LB is of one meeting, and the
next has up to a fifth more or less: such an overhead may be less than 1, and is to be compared
within its table.

    overhead          (peak resident growth - growth beside the heap) / LB
    retention_1000ms  resident growth a second after work ended - growth beside the heap
                      - what is still requested

Growth is since the program marked its start; what an allocator holds by then is in resident_start.
"""
import statistics

METER = "meter"  # the allocator's name in the rows of metered runs
OF_METER = ("lb", "mapped_growth", "requested_1000ms")
# Below it, what the kernel rounds in its counts of pages is no longer small.
LEAST_LB = 8 << 20


def beside_heap(row, limit):
    return row.get("file_growth", 0) + limit.get("mapped_growth", 0)


def overhead(row, limit):
    return (row["resident_peak_growth"] - beside_heap(row, limit)) / limit["lb"]


def retention(row, limit, idle):
    """idle is the time since work ended, as it stands in the row's keys: "1000ms"."""
    return (row[f"resident_{idle}"] - beside_heap(row, limit)
            - limit.get("requested_1000ms", 0))


def measure(row, limit):
    """The row with what follows from it and the limit."""
    measured = dict(row)
    if limit.get("lb", 0) >= LEAST_LB and "resident_peak_growth" in row:
        measured["overhead"] = overhead(row, limit)
    for idle in ("1000ms", "10000ms"):
        if "lb" in limit and f"resident_{idle}" in row:
            measured[f"retention_{idle}"] = retention(row, limit, idle)
    return measured


def find_limits(rows):
    """{program: {key: median}} of the metered runs."""
    found = {}
    for row in rows:
        if row["allocator"] == METER and not row["failed"]:
            numbers = found.setdefault(row["program"], {})
            for key in OF_METER:
                if key in row:
                    numbers.setdefault(key, []).append(row[key])
    return {program: {key: statistics.median(values) for key, values in numbers.items()}
            for program, numbers in found.items()}


def apply(rows):
    """The rows of the allocators, measured; the metered runs are used up."""
    limits = find_limits(rows)
    return [measure(row, limits.get(row["program"], row)) for row in rows
            if row["allocator"] != METER]
