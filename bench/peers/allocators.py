"""The allocators: one table, a row each, and which of them are on this machine."""
import dataclasses
import os
import pathlib
import platform

import limits

RUN_CPU = "oversize_threshold:1,background_thread:true,metadata_thp:auto"
KEEP = "dirty_decay_ms:9000000000,muzzy_decay_ms:9000000000"
KEEP_THP = "oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1,metadata_thp:always,thp:always"


@dataclasses.dataclass(frozen=True)
class Allocator:
    name: str
    about: str
    libraries: tuple = ()  # for LD_PRELOAD: file names, or paths once they are found
    package: str = ""
    environment: dict = dataclasses.field(default_factory=dict)
    ours: bool = False


PEERS = (
    Allocator("glibc", "libc's own, default settings"),
    Allocator("glibc-tuned", "libc's own, told to keep everything",
              environment={"MALLOC_MMAP_THRESHOLD_": "4294967296",
                           "MALLOC_TRIM_THRESHOLD_": "17179869184",
                           "MALLOC_TOP_PAD_": "67108864"}),
    Allocator("jemalloc", "default settings", ("libjemalloc.so.2",), "libjemalloc2"),
    Allocator("jemalloc-intel", "as torch.backends.xeon.run_cpu sets it",
              ("libjemalloc.so.2",), "libjemalloc2", {"MALLOC_CONF": RUN_CPU}),
    Allocator("jemalloc-keep", "as Intel's model zoo sets it: of large blocks all is purged at once",
              ("libjemalloc.so.2",), "libjemalloc2", {"MALLOC_CONF": f"{RUN_CPU},{KEEP}"}),
    Allocator("jemalloc-keep-thp", "never purges, in huge pages",
              ("libjemalloc.so.2",), "libjemalloc2", {"MALLOC_CONF": KEEP_THP}),
    Allocator("mimalloc", "default settings", ("libmimalloc.so.2.0",), "libmimalloc2.0"),
    Allocator("tcmalloc", "gperftools', default settings",
              ("libtcmalloc_minimal.so.4",), "libtcmalloc-minimal4"),
    Allocator("tbb", "oneTBB's, default settings", ("libtbbmalloc_proxy.so.2",), "libtbbmalloc2"),
)

# Where the dynamic linker looks; the multiarch directories are Debian's.
DIRECTORIES = tuple(
    directory.format(f"{platform.machine()}-linux-gnu")
    for directory in ("/usr/local/lib/{}", "/usr/local/lib", "/usr/lib/{}", "/lib/{}",
                      "/usr/lib64", "/usr/lib"))


def ours(strategy, build):
    """Stepwell's row; without a strategy it is what a user gets by default."""
    libraries = [str(pathlib.Path(build, "lib", "libstepwell-preload.so"))]
    if strategy == "jemalloc":
        libraries.append(str(pathlib.Path(build, "lib", "libstepwell-jemalloc.so")))
    if strategy is None:
        return Allocator("stepwell", "ours, default settings", tuple(libraries), ours=True)
    return Allocator(f"stepwell-{strategy}", f"ours, strategy {strategy}", tuple(libraries),
                     environment={"STEPWELL_STRATEGY": strategy}, ours=True)


def meter(build):
    """No allocator to compare: libc's with a count of what is requested."""
    return Allocator(limits.METER, "counts what is requested",
                     (str(pathlib.Path(build, "lib", "libstepwell-meter.so")),), ours=True)


def find_library(name, directories=None):
    """The library's path, or None."""
    if os.path.isabs(name):
        return name if os.path.exists(name) else None
    listed = [d for d in os.environ.get("LD_LIBRARY_PATH", "").split(":") if d]
    for directory in [*listed, *(DIRECTORIES if directories is None else directories)]:
        path = os.path.join(directory, name)
        if os.path.exists(path):
            return path
    return None


def locate(allocator, directories=None):
    """The allocator with its libraries' paths filled in, or None where one is missing."""
    paths = [find_library(name, directories) for name in allocator.libraries]
    if None in paths:
        return None
    return dataclasses.replace(allocator, libraries=tuple(paths))


def settings(allocator):
    """What the environment of a program under the allocator has beside without_settings()."""
    preload = {"LD_PRELOAD": ":".join(allocator.libraries)} if allocator.libraries else {}
    return {**allocator.environment, **preload}


def without_settings(environment):
    """The environment without a word to any allocator."""
    words = ("MALLOC_", "GLIBC_TUNABLES", "MIMALLOC_", "TCMALLOC_", "TBB_MALLOC_", "STEPWELL_",
             "LD_PRELOAD")
    return {key: value for key, value in environment.items() if not key.startswith(words)}
