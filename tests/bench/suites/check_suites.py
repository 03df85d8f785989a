"""check_suites.py - stepwell-bench, run as a user would, and its JSON read strictly.

Usage: check_suites.py STEPWELL-BENCH light|quick|memory|compare

light    every workload is listed for every strategy; a short run of small cases gives valid JSON,
         every counter, and values that can be true
quick    the same, and the step loop: the same bytes asked of every strategy, and written at a speed
         that memory could have, so that no compiler can have deleted the writing
memory   the same of the large cases, which take half a minute
compare  Google's compare.py reads the output (skipped where it is not installed)
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile

MIB = 1 << 20
STRATEGIES_AT_LEAST = {"system", "pool", "sizeclass", "arena"}
WORKLOADS = {
    "one_size", "mixed_ml", "mixed_pareto", "free_lifo", "free_fifo", "free_random",
    "producer_consumer", "producer_consumer_tensors", "realloc_doubling", "realloc_append",
    "step_loop_fixed", "step_loop_ragged", "step_loop_two_threads", "train_step_digits",
}
COUNTERS = {
    "requested_peak", "allocated_peak", "resident_peak", "overhead", "internal_fragmentation",
    "external_fragmentation", "retention_0ms", "retention_after_trim", "survivors", "utilisation",
}
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
FASTEST_MEMORY = 200e9  # bytes per second; no machine this runs on writes faster
COMPARE = "/usr/share/benchmark/compare.py"  # of Debian's libbenchmark-tools
SKIPPED = 77

bench = sys.argv[1]
failures = []


def check(true, what):
    if not true:
        failures.append(what)
        print("FAILED:", what)


def run(*arguments, code=0):
    done = subprocess.run([bench, *arguments], capture_output=True, text=True)
    check(done.returncode == code,
          f"{' '.join(arguments)}: exit code {done.returncode}, not {code}: {done.stderr[-400:]}")
    return done.stdout


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def run_json(pattern):
    out = run(f"--benchmark_filter={pattern}", "--benchmark_min_time=0.001",
              "--benchmark_format=json")
    return json.loads(out, parse_constant=refuse_constant)


def split(name):
    """workload/strategy/arguments"""
    workload, strategy, *rest = name.split("/")
    return workload, strategy, "/".join(rest)


def strategies():
    """As --help lists them, which is from the library and not from the benchmarks."""
    listed = run("--help").split("Strategies:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in listed.splitlines()]


def check_row(row):
    name = row["name"]
    check(row["run_type"] == "iteration" and row["iterations"] > 0, f"{name}: {row}")
    check(row["real_time"] > 0 and row["cpu_time"] >= 0, f"{name}: took no time: {row}")
    check(row["time_unit"] in UNITS, f"{name}: unit {row['time_unit']}")
    check(COUNTERS <= row.keys(), f"{name}: lacks {sorted(COUNTERS - row.keys())}")
    faults = "page_faults_per_step" if "_step" in name or "step_" in name \
        else "page_faults_per_operation"
    check(row.get(faults, -1) >= 0, f"{name}: {faults} is {row.get(faults)}")
    check(0 < row["requested_peak"] <= row["allocated_peak"], f"{name}: more asked than given")
    for key in ("internal_fragmentation", "external_fragmentation", "utilisation"):
        check(0 <= row[key] <= 1, f"{name}: {key} is {row[key]}")
    check(abs(row["overhead"] - row["resident_peak"] / row["requested_peak"]) < 1e-6,
          f"{name}: overhead {row['overhead']}")
    # libc's heap is told by the growth of the process, to which others may add.
    check(split(name)[1] == "system" or row["retention_after_trim"] <= row["retention_0ms"],
          f"{name}: trim raised what is retained")
    check(row.get("bytes_per_second", 1) <= FASTEST_MEMORY,
          f"{name}: {row.get('bytes_per_second')} bytes a second were not written")


def usable_rows(results, pattern):
    """The rows that ran, checked; one may be missing only because the strategy cannot be had."""
    rows = []
    for row in results["benchmarks"]:
        if row.get("error_occurred"):
            check("not to be had" in row["error_message"], f"{row['name']}: {row['error_message']}")
        else:
            check_row(row)
            rows.append(row)
    ran = {split(row["name"])[1] for row in results["benchmarks"]}
    check(ran == set(strategies()), f"{pattern}: ran over {sorted(ran)}")
    return rows


def check_same_work(rows):
    """One thread's workload asks every strategy for the same bytes."""
    asked = {}
    for row in rows:
        workload, strategy, arguments = split(row["name"])
        if "threads:" in arguments:
            continue
        peak = asked.setdefault((workload, arguments), row["requested_peak"])
        check(peak == row["requested_peak"],
              f"{row['name']}: {row['requested_peak']} bytes at most, others {peak}")


def check_list():
    names = run("--benchmark_list_tests").split()
    known = strategies()
    check(STRATEGIES_AT_LEAST <= set(known), f"strategies: {known}")
    check(len(names) == len(set(names)), "two benchmarks of one name")
    have = {split(name)[:2] for name in names}
    for workload in WORKLOADS:
        for strategy in known:
            check((workload, strategy) in have, f"{workload}/{strategy} is not listed")


def check_bad_input():
    for argument, *parts in [
            ("--benchmark_filtr=x", "'--benchmark_filtr'", "'--benchmark_filter'", "--help"),
            ("extra", "'extra'", "--benchmark_format"),
            ("--benchmark_min_time=soon", "soon", "--benchmark_min_time"),
            ("--benchmark_format=jsn", "'jsn'", "--benchmark_format"),
            ("--benchmark_out_format=xml", "'xml'", "--benchmark_out_format"),
            ("--benchmark_time_unit=days", "'days'", "--benchmark_time_unit")]:
        done = subprocess.run([bench, argument], capture_output=True, text=True)
        check(done.returncode == 2, f"{argument}: exit code {done.returncode}")
        check(all(part in done.stderr for part in parts), f"{argument}: {done.stderr}")
        check(done.stdout == "", f"{argument}: {done.stdout[:100]}")
    run("--benchmark_filter=no_such_benchmark", code=2)


def check_full_disk():
    """A file may become no larger than that: what ends a write early, as a full disk does."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.json")
        for limit, code in ((1000, 1), (10_000_000, 0)):
            done = subprocess.run(
                [bench, "--benchmark_filter=one_size/pool/size:64$", "--benchmark_min_time=0.001",
                 f"--benchmark_out={out}"], capture_output=True, text=True, check=False,
                preexec_fn=lambda most=limit: (
                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))))
            check(done.returncode == code, f"{limit} bytes: exit code {done.returncode}")
            check(("not all could be written" in done.stderr) == (code == 1), done.stderr)


def check_step_loop_row(row):
    name = row["name"]
    workload = split(name)[0]
    check(row["bytes_per_second"] > 1e6, f"{name}: writes nothing")
    # The timed heap is no better than the tracked one says, so the peak is bytes that were written.
    check(row["overhead"] >= 0.99, f"{name}: overhead {row['overhead']}: not all was written")
    check(row["survivors"] == (64 if workload.endswith("ragged") else 0),
          f"{name}: {row['survivors']} survivors")
    if workload == "step_loop_fixed":
        check(213 * MIB <= row["requested_peak"] <= 213 * MIB + 64 * 1024,
              f"{name}: {row['requested_peak']} bytes at most")
        bytes_a_step = row["bytes_per_second"] * row["cpu_time"] * UNITS[row["time_unit"]]
        check(abs(bytes_a_step / (330 * MIB) - 1) < 0.01, f"{name}: {bytes_a_step} bytes a step")
    if workload == "step_loop_ragged":
        bytes_a_step = row["bytes_per_second"] * row["cpu_time"] * UNITS[row["time_unit"]]
        check(abs(bytes_a_step / (0.65 * 330 * MIB) - 1) < 0.01,
              f"{name}: {bytes_a_step} bytes a step: the factors do not balance")
    if workload == "step_loop_two_threads":
        check(426 * MIB <= row["requested_peak"] <= 427 * MIB,
              f"{name}: {row['requested_peak']} bytes at most")


def run_small(pattern):
    rows = usable_rows(run_json(pattern), pattern)
    check_same_work(rows)
    for row in rows:
        if split(row["name"])[0] == "step_loop_fixed":
            check_step_loop_row(row)
        if split(row["name"])[0] == "one_size":
            check(row["internal_fragmentation"] < 0.5, f"{row['name']}: twice what was asked")


def light():
    check_list()
    check_bad_input()
    check_full_disk()
    run_small("one_size/[a-z]+/size:64$|one_size/[a-z]+/size:4096$|mixed_pareto/|"
              "free_[a-z]+/[a-z]+/blocks:1024|producer_consumer/.*:1/consumers:1/|"
              "realloc_[a-z]+/[a-z]+/to:65536|train_step_digits")


def quick():
    light()
    run_small("step_loop_fixed")


def memory():
    pattern = "step_loop_ragged|step_loop_two_threads|realloc_doubling/.*to:67108864|tensors"
    rows = usable_rows(run_json(pattern), pattern)
    check_same_work(rows)
    for row in rows:
        if row["name"].startswith("step_loop"):
            check_step_loop_row(row)


def compare():
    if not os.path.exists(COMPARE):
        print(f"{COMPARE} is not there (apt install libbenchmark-tools)")
        sys.exit(SKIPPED)
    if subprocess.run([sys.executable, "-c", "import numpy, scipy"],
                      capture_output=True).returncode != 0:
        print("compare.py needs python3-numpy and python3-scipy")
        sys.exit(SKIPPED)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(run("--benchmark_filter=free_lifo/(system|pool)/blocks:1024|jemalloc/size:64$",
                       "--benchmark_min_time=0.01", "--benchmark_repetitions=10",
                       "--benchmark_format=json"))
        file.flush()
        for arguments in (["benchmarks", file.name, file.name],
                          ["filters", file.name, "free_lifo/system", "free_lifo/pool"]):
            done = subprocess.run([sys.executable, COMPARE, "--no-color", *arguments],
                                  capture_output=True, text=True)
            print(done.stdout)
            check(done.returncode == 0, f"compare.py {arguments[0]}: {done.stderr[-2000:]}")
            check(re.search(r"free_lifo.*\d", done.stdout) is not None and
                  "pvalue" in done.stdout, f"compare.py {arguments[0]} compared nothing")


{"light": light, "quick": quick, "memory": memory, "compare": compare}[sys.argv[2]]()
print("failures:", len(failures))
sys.exit(1 if failures else 0)
