"""Run one workload in this process and print its figures as one JSON object on the last line.

usage: python3 bench/workloads WORKLOAD [--threads N] [--steps N] [--long-idle]
       python3 bench/workloads --list

The allocator is whatever LD_PRELOAD has put under the interpreter. --long-idle looks again after
ten idle seconds. PyTorch, NumPy and scikit-learn are Debian's (script/packages/peers), so the
interpreter is /usr/bin/python3. What is measured and how: measure.py.
"""
import argparse
import json
import sys

import measure
from catalogue import WORKLOADS


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is wanted, not '{text}'")
    return int(text)


def main():
    parser = argparse.ArgumentParser(prog="bench/workloads", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="?", choices=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--steps", type=positive)
    parser.add_argument("--long-idle", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        for name, workload in WORKLOADS.items():
            print(f"{name:12} {workload.about}")
        return
    if not options.workload:
        parser.error("name a workload; --list shows them")

    workload = WORKLOADS[options.workload]
    measure.limit_threads(options.threads)
    try:
        figures = measure.measure(lambda: workload.build(options.threads),
                                  options.steps or workload.steps, options.threads,
                                  options.threads > 1 or workload.own_threads,
                                  options.long_idle)
    except ModuleNotFoundError as missing:
        sys.exit(f"bench/workloads: {missing}; script/packages/peers names the Debian packages")
    rounded = {name: round(value, 4) if isinstance(value, float) else value
               for name, value in figures.items()}
    print(json.dumps({"workload": options.workload, **rounded}))


if __name__ == "__main__":
    main()
