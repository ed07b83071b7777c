"""`make bench`: the training steps beside their rivals, how cost grows, the metrics beside theirs."""

import subprocess
import sys

for module in ("bench.steps", "bench.scaling", "bench.metrics"):
    print(f"\n## {module}\n", flush=True)
    code = subprocess.run(
        [sys.executable, "-m", module], check=False
    ).returncode  # each with its own memory and threads
    if code:
        sys.exit(code)
