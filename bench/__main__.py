"""`make bench`: the training steps, then the metrics, each beside its rivals in one run."""

import subprocess
import sys

for module in ("bench.steps", "bench.metrics"):
    print(f"\n## {module}\n", flush=True)
    code = subprocess.run(
        [sys.executable, "-m", module], check=False
    ).returncode  # each with its own memory and threads
    if code:
        sys.exit(code)
