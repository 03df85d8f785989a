"""What malloc and free cost in instructions has not risen above bench/results/instructions.csv."""
import os
import shutil
import subprocess
import sys

if not shutil.which("valgrind"):
    print("skipped: valgrind, which counts, is not installed")
    sys.exit(77)
program = os.path.join(os.environ["STEPWELL_SOURCE_DIR"], "bench", "peers", "instructions.py")
sys.exit(subprocess.run([sys.executable, program, "--ours", "--build",
                         os.environ["STEPWELL_BUILD_DIR"]], check=False).returncode)
