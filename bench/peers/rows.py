"""Rows, one for each run, as a CSV file. Lines that begin with # say where they come from."""
import csv
import os
import pathlib
import platform
import shlex
import subprocess

FIRST = ["suite", "program", "allocator", "round", "failed"]


def describe_machine():
    """One line: processor, processors, kernel, libc."""
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return (f"{model}, {os.cpu_count()} processors, Linux {platform.release()}, "
            f"{' '.join(platform.libc_ver())}")


def describe_code():
    """Which commit of ours; "unknown" outside a repository, or without git."""
    try:
        return subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True,
                              text=True, cwd=pathlib.Path(__file__).parent,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def header(arguments, seed):
    """What a reader needs to make the file again."""
    return [f"script/compare-peers {shlex.join(arguments)}".rstrip(), f"seed {seed}",
            f"stepwell {describe_code()}", describe_machine()]


def save(path, comments, rows):
    """Writes the file whole, beside the old one first, so that no interruption loses it."""
    keys = [*FIRST, *sorted({key for row in rows for key in row} - set(FIRST))]
    beside = f"{path}.new"
    with open(beside, "w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {comment}\n" for comment in comments)
        writer = csv.DictWriter(file, keys, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(beside, path)


def as_number(text):
    value = float(text)
    return int(value) if value.is_integer() and "." not in text else value


def load(path):
    """(comments, rows), as they were saved. Raises ValueError where the file is something else."""
    with open(path, newline="", encoding="utf-8") as file:
        lines = file.read().splitlines()
    comments = [line[1:].strip() for line in lines if line.startswith("#")]
    reader = csv.DictReader(line for line in lines if not line.startswith("#"))
    if not set(FIRST) <= set(reader.fieldnames or ()):
        raise ValueError(f"{path} has no columns {', '.join(FIRST)}")
    rows = []
    for row in reader:
        texts = {key: row.pop(key) for key in FIRST}
        rows.append({**texts, "round": int(texts["round"]),
                     **{key: as_number(value) for key, value in row.items() if value}})
    return comments, rows
