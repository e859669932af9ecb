"""One trial over several hosts, each started by the same command.

A launcher (srun, mpirun, torchrun) starts `run.py` once for each device, on
every host, and says by variables which part each of them is (`part`). Rank 0
runs the sweep as ever. The others follow (`follow`): for every worker of rank 0
that divides trials over hosts they start a process that joins it.

  rank 0                                rank 1, 2, ..., on any host
  ------                                ---------------------------
  run.py: beats in RUN/ranks   ----->   run.py: waits, looks at RUN/ranks
  its worker: listens, writes
  RUN/ranks/meeting.json       ----->   starts a process of the framework
  takes it in                  <-----   connects, knows the key; Hello
  from here on as on one host (`learn.distributed`, `learn_torch.distributed`)

The run folder lies on storage that all hosts share, as checkpoints need it. It
is also how they meet: the file has address and key, for its user alone.

Each host meters itself: the lowest of its ranks has a monitor, which opens and
closes its windows with those of rank 0 (`meter`, `monitor`). Hosts share no
clock, so windows of one trial are matched by their number and phase.

Nothing waits for ever: who does not come to a meeting, who is lost or silent
fails the trial with a line that names its rank; ranks whose run.py of rank 0
has not beaten for `follow.LOST_SECONDS` end.
"""
