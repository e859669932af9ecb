"""Runs a sweep under the meter and reports which setting was cheapest.

  python scripts/run.py --config=configs/batch.py

  --config=FILE[:ARGS]     the experiment; ARGS as name=value,name=value
  --config.FIELD=VALUE     sets one of its fields, e.g. --config.seeds=5
  --out=FOLDER             where records go; runs/<name> by default
  --meter=auto             auto, nvml (GPUs), rapl (CPU) or estimate (a model)
  --dry-run                prints the trials, trains nothing
  --retry-failed           runs trials again whose record says failed
  --strict                 refuses a folder with a record that cannot be read
  --compile-repeats=1      how often each program is compiled, to measure it
  --parallel=1             trials at once, each on GPUs or cores of its own;
                           auto: one a GPU, or group of as many as it takes
  --nocheck-company        does not check first what trials at once cost another
  --only=N                 runs trial N alone, beside processes that run others
  --launcher=slurm         runs trials as tasks of a cluster (or local, here):
                           --partition, --gpus, --cpus, --memory-gb, --minutes,
                           --at-once, --sbatch=NAME=VALUE (docs/cluster.md)

Run again, it continues where it stopped; with more seeds or values it runs only
what is missing. Bad input ends with exit code 2 and nothing written; a trial
that failed with 1. Ctrl-C ends it at the next evaluation, twice at once.
"""

import sys

from jaxpower.cli import crash, run

if __name__ == "__main__":
  sys.exit(crash.guard("run", run.main, sys.argv, __doc__ or ""))
