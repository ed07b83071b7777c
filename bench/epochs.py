"""`python -m bench.epochs runs/NAME results/NAME`: a run measured at each of its checkpoints, into epochs.json."""

import argparse
from pathlib import Path

from ganvae_lib.paper import DECISIONS
from ganvae_lib.runs.epochs import measure_checkpoints


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m bench.epochs", description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder, as 'ganvae train' writes it")
    parser.add_argument("to", type=Path, help="its folder in results/")
    parser.add_argument("--n", type=int, default=DECISIONS.n_evaluation_samples, help="samples at each checkpoint")
    args = parser.parse_args(argv)
    measure_checkpoints(args.run, args.to / "epochs.json", n=args.n)


if __name__ == "__main__":
    main()
