"""Runs a sweep from the command line: flags in, files and a table out.

Whatever is wrong with the input is one line on stderr and exit code 2, before
anything is written.

Every field of the sweep is a flag (`--config.seeds=5`), so which flags there
are is known only when the config file is loaded. The command line is therefore
parsed twice: first for `--config` alone, then with a flag for each field of
the sweep that this file gave. absl says how a flag is written (`--name=value`,
`--name value`, `--noname`, `--flagfile`); its value stays text until it is
read as the type of its field (`overrides`), so that an error knows field, type
and text and nobody has to find them in absl's message.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from jaxpower import config, garbage, probe, report
from jaxpower.cli import overrides
from jaxpower.cli.config_file import load_config
from jaxpower.cli.follow import Follower
from jaxpower.cli.outline import Basis, outline
from jaxpower.cli.output import PlainConsole, attempt, say
from jaxpower.cli.pages import Pages
from jaxpower.cli.pages import write as write_page
from jaxpower.cli.paths import path as path_of
from jaxpower.cli.progress import Display, trial_name
from jaxpower.cli.script import too_long
from jaxpower.cli.signals import Signals
from jaxpower.config import ConfigError, Sweep
from jaxpower.data import DataError
from jaxpower.folder import claims, sweep_file
from jaxpower.folder.claims import TakenError
from jaxpower.hosts.follow import follow
from jaxpower.hosts.meeting import beating
from jaxpower.hosts.part import FOLDER, RANKS, Part, part_of
from jaxpower.launch import launcher
from jaxpower.launch.launcher import Cluster
from jaxpower.power.sources import METERS
from jaxpower.records import RecordError, TrialRecord
from jaxpower.sweep import Plan, Stopped, execute, plan
from jaxpower.tasks import launch, run_one
from jaxpower.wording import join_names, on_one_line, printable
from jaxpower.workers import places
from jaxpower.workers.worker import WorkerError

HELP = """Runs a sweep under the meter and reports which setting was cheapest.

  {command} --config=configs/batch.py

  --config=FILE[:ARGS]     the experiment; ARGS as name=value,name=value
  --config.FIELD=VALUE     sets one of its fields, e.g. --config.seeds=5
  --out=FOLDER             where records go; runs/<name> by default
  --meter=auto             auto, nvml (GPUs), rapl (CPU) or estimate (a model)
  --dry-run                prints the trials and what they will take, runs none
  --probe                  with --dry-run: runs a short trial to judge that by
  --retry-failed           runs trials again whose record says failed
  --show-output            shows what commands print while they run
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
CONTINUES = "what is finished is recorded, the same command continues"


def main(argv: Sequence[str], help_text: str) -> int:
  """Runs what the command line asks for; returns the exit code.

  0: all trials that were asked for are recorded; 1: one of them failed; 2: the
  input is wrong; 128 + N: signal N ended it (130 INT, 143 TERM, 129 HUP, 138
  USR1). What is printed changes none of these.
  """
  try:
    return _run(list(argv), help_text)
  except (
    *(ConfigError, DataError, RecordError),
    *(TakenError, WorkerError),
  ) as error:
    return _refuse(str(error))
  except OSError as error:
    return _refuse(f"{error.filename or 'the run'}: {error.strerror or error}")
  except KeyboardInterrupt:
    say(f"interrupted; {CONTINUES}")
    return 128 + signal.SIGINT


def _run(argv: list[str], help_text: str) -> int:
  if "--help" in argv or "-h" in argv:
    print(help_text.strip())
    return 0
  given = parse(argv)
  if (part := part_of(os.environ)) is not None:
    return _one_of_several(part, given)
  return _sweep(given)


def _one_of_several(part: Part, given: "Flags") -> int:
  """Runs one of the processes that a launcher started: the sweep, or a rank."""
  if given.parallel != 1 or given.cluster is not None or given.only is not None:
    raise ConfigError(
      f"{part.world_size} ranks were started for one trial at a time; leave out"
      " --parallel, --launcher and --only"
    )
  out = given.out or str(pathlib.Path("runs") / given.sweep.name)
  folder = path_of(out) / RANKS
  if part.rank == 0:
    os.environ[FOLDER] = str(folder.resolve())
    if given.sweep.devices == 1 and "devices" not in given.sweep.vary:
      say(
        f"{part.world_size} ranks were started, but a trial takes one device;"
        f" --config.devices={part.world_size} takes all"
      )
    with beating(folder):
      return _sweep(given)
  with Signals() as signals:
    problem = follow(part, folder, signals.stop)
  if problem:
    say(f"rank {part.rank}: {problem}")
  return 1 if problem else 0


def _sweep(given: "Flags") -> int:
  with garbage.kept():
    planned = plan(
      given.sweep,
      None if given.out is None else path_of(given.out),
      meter=given.meter,
      retry_failed=given.retry_failed,
      compile_repeats=given.compile_repeats,
      strict=given.strict,
    )
  if given.dry_run:
    return _dry_run(planned, given)
  if given.only is not None and given.only > len(planned.trials):
    raise ConfigError(
      f"there are {len(planned.trials)} trials (--dry-run lists them)",
      field="--only",
      value=str(given.only),
    )
  pages = Pages(planned, between=_alone(given))
  with Signals() as signals:
    try:
      if given.only is not None:
        return _run_one(planned, given, signals)
      records = _execute(planned, given, signals, pages)
    except Stopped:
      pages.interrupted()
      say(f"stopped by {signals.name}; {CONTINUES}")
      return signals.exit_code
    except KeyboardInterrupt:
      say(f"ended at once by {signals.name}; {CONTINUES}")
      return signals.exit_code
  return _report(planned, records)


def _alone(given: "Flags") -> bool:
  """Whether nothing is measured here when a trial has ended."""
  if given.cluster is not None:
    return given.cluster.launcher != "local" or given.cluster.at_once == 1
  return given.parallel == 1


def _dry_run(planned: Plan, given: "Flags") -> int:
  """Prints what would be run and what it would cost."""
  basis = None
  if given.probe and planned.left:
    trial = probe.first(planned.left)
    say(f"a short trial of {trial_name(planned, trial)} runs, as a probe")
    with Signals() as signals:
      try:
        record = probe.run(planned, trial, tell=say, stop=signals.stop)
      except (Stopped, KeyboardInterrupt):
        say(f"stopped by {signals.name}")
        return signals.exit_code
    basis = Basis([record], probed=trial)
  print(printable(outline(planned, basis)))
  return 0


def _execute(
  planned: Plan, given: "Flags", signals: Signals, pages: Pages
) -> tuple[TrialRecord, ...]:
  """Runs a plan and shows how it goes, for as long as that can be shown."""
  with contextlib.ExitStack() as shown:
    caught = shown.enter_context(warnings.catch_warnings(record=True))
    console = PlainConsole(stderr=True)
    display = shown.enter_context(Display(planned, console))
    if given.show_output:
      shown.enter_context(Follower(planned.folder, display.show))
    warnings.simplefilter("always")  # not as an error, after days
    if given.cluster is None:
      records = execute(
        planned,
        parallel=given.parallel,
        check_company=given.check_company,
        watch=pages.beside(display.watch),
        greet=display.greet,
        tell=display.tell,
        stop=signals.stop,
      )
    else:
      records = launch(
        planned,
        given.cluster,
        watch=pages.beside(display.watch),
        tell=display.tell,
        stop=signals.stop,
      )
  for warning in caught:
    say(f"warning: {on_one_line(str(warning.message))}")
  return records


def _run_one(planned: Plan, given: "Flags", signals: Signals) -> int:
  """Runs one trial of a plan, beside whoever runs the others."""
  assert given.only is not None
  trial = planned.trials[given.only - 1]
  with Display(planned, PlainConsole(stderr=True)) as display:
    record = run_one(
      planned,
      trial,
      watch=functools.partial(display.watch, given.only, trial),
      tell=display.tell,
      stop=signals.stop,
    )
    display.watch(given.only, trial, record)
  return 1 if record.status == "failed" else 0


def _report(planned: Plan, records: Sequence[TrialRecord]) -> int:
  """Writes the report, then shows it; returns the exit code of the run."""
  written = write_page(planned, records)

  def show() -> None:
    report.show(written, PlainConsole())
    print(planned.folder / sweep_file.NAME)

  if problem := attempt(sys.stdout, show):
    say(
      f"the report could not be printed ({problem}); it is in"
      f" {planned.folder / 'report.html'}"
    )
  asked = set(planned.ids)
  failed = [r for r in records if r.trial_id in asked and r.status == "failed"]
  if failed:
    say(
      f"{len(failed)} of {len(asked)} trials failed; --retry-failed runs them"
      " again"
    )
  # Without a process that runs them they were left out, with a line each.
  living = claims.living(planned.folder)
  elsewhere = asked - {r.trial_id for r in records} if living else set()
  if elsewhere:
    say(
      f"{len(elsewhere)} of {len(asked)} trials are run by other processes; the"
      " same command reports once they are recorded"
    )
  return 1 if failed or elsewhere else 0


def _refuse(line: str) -> int:
  say(f"error: {on_one_line(line)}")
  return 2


# The command line

CLUSTER_FLAGS = (
  *("partition", "gpus", "cpus", "memory-gb", "minutes", "at-once", "sbatch"),
)
# Tasks at once: on this machine one, which has it to itself; on a cluster as
# many as submitit lets run by default.
AT_ONCE = {"local": 1, "slurm": 256}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
  """The values of a command line; overrides are in the sweep already."""

  sweep: Sweep
  out: str | None
  meter: str
  dry_run: bool
  probe: bool
  retry_failed: bool
  strict: bool
  show_output: bool
  compile_repeats: int
  parallel: int | str
  check_company: bool
  only: int | None
  cluster: Cluster | None


def parse(argv: list[str]) -> Flags:
  """Parses the command line. Raises ConfigError on a wrong flag or config."""
  first = _define_flags({})
  first.set_gnu_getopt()  # looks past values of flags that are not known yet
  rest = _read(first, argv, known_only=True)
  configs = list(dict.fromkeys(first["config"].value or ()))
  if not configs:
    raise ConfigError(_no_config(rest))
  if len(configs) > 1:
    raise ConfigError(
      f"{len(configs)} experiments are named, {join_names(configs)}; a run is"
      " of one"
    )
  sweep = load_config(configs[0])
  types = overrides.flag_types(sweep, argv)
  values = _define_flags(types)
  rest = _read(values, argv)
  if len(rest) > 1:
    raise ConfigError(f"'{rest[1]}': flags are written --name=value")
  given = values.flag_values_dict()
  if given["probe"] and not given["dry-run"]:
    raise ConfigError("only with --dry-run", field="--probe")
  texts = {path: given.get(f"config.{path}") for path in types}
  overrides.apply(sweep, {path: text for path, text in texts.items() if text})
  return Flags(
    sweep=sweep,
    out=given["out"],
    meter=given["meter"],
    dry_run=given["dry-run"],
    probe=given["probe"],
    retry_failed=given["retry-failed"],
    strict=given["strict"],
    show_output=given["show-output"],
    compile_repeats=given["compile-repeats"],
    parallel=places.parse(given["parallel"]),
    check_company=given["check-company"],
    only=given["only"],
    cluster=_cluster(given),
  )


def _cluster(given: Mapping[str, Any]) -> Cluster | None:
  """Reads where tasks are to run; None where they are not launched.

  Raises ConfigError where flags do not go together.
  """
  if given["launcher"] is None:
    for name in CLUSTER_FLAGS:
      if given[name] not in (None, []):
        raise ConfigError("only with --launcher", field=f"--{name}")
    return None
  if given["parallel"] != "1":
    raise ConfigError(
      "a launcher runs its tasks at once: write --at-once=N",
      field="--parallel",
      value=given["parallel"],
    )
  return Cluster(
    launcher=given["launcher"],
    partition=given["partition"] or "",
    gpus=given["gpus"],
    cpus=given["cpus"],
    memory_gb=given["memory-gb"],
    minutes=given["minutes"] or Cluster.minutes,
    at_once=given["at-once"] or AT_ONCE[given["launcher"]],
    options=launcher.options(given["sbatch"] or ()),
  )


def _define_flags(types: Mapping[str, type]) -> flags.FlagValues:
  """Defines the flags of a run, and one for each field of the sweep.

  The flags of fields keep all texts they are given: a tuple may be given in
  several (`--config.tasks=label --config.tasks=subject`).
  """
  values = flags.FlagValues()  # its own, so that nothing is global
  flags.DEFINE_multi_string("config", [], "", flag_values=values)
  flags.DEFINE_string("out", None, "", flag_values=values)
  flags.DEFINE_enum("meter", "auto", METERS, "", flag_values=values)
  flags.DEFINE_bool("dry-run", False, "", flag_values=values)
  flags.DEFINE_bool("probe", False, "", flag_values=values)
  flags.DEFINE_bool("retry-failed", False, "", flag_values=values)
  flags.DEFINE_bool("strict", False, "", flag_values=values)
  flags.DEFINE_bool("show-output", False, "", flag_values=values)
  flags.DEFINE_integer(
    "compile-repeats", 1, "", lower_bound=1, flag_values=values
  )
  flags.DEFINE_string("parallel", "1", "", flag_values=values)
  flags.DEFINE_bool("check-company", True, "", flag_values=values)
  flags.DEFINE_integer("only", None, "", lower_bound=1, flag_values=values)
  flags.DEFINE_enum(
    "launcher", None, launcher.LAUNCHERS, "", flag_values=values
  )
  flags.DEFINE_string("partition", None, "", flag_values=values)
  flags.DEFINE_multi_string("sbatch", [], "", flag_values=values)
  flags.DEFINE_float("memory-gb", None, "", lower_bound=0, flag_values=values)
  for name in ("gpus", "cpus", "minutes", "at-once"):
    flags.DEFINE_integer(name, None, "", lower_bound=1, flag_values=values)
  for path, kind in types.items():
    if " " in path:
      continue  # a task's name may have one, a flag's name may not
    flag = flags.MultiFlag(
      flags.ArgumentParser(),
      flags.ArgumentSerializer(),
      f"config.{path}",
      None,
      "",
      boolean=kind is bool,
    )
    flags.DEFINE_flag(flag, values)
  return values


def _read(
  values: flags.FlagValues, argv: list[str], known_only: bool = False
) -> list[str]:
  """Sets the flags that a command line gives; returns what is no flag."""
  if reason := too_long(argv):
    raise ConfigError(reason)
  try:
    return values(argv, known_only)
  except flags.UnrecognizedFlagError as error:
    before, dot, path = error.flagname.partition("config.")
    fields = [n.removeprefix("config.") for n in values if "config." in n]
    if dot and before in ("", "no") and path not in fields:
      raise ConfigError(config.unknown("config field", path, fields)) from None
    raise ConfigError(_one_line(str(error))) from None
  except (flags.Error, ValueError) as error:
    raise ConfigError(_one_line(str(error))) from None


def _no_config(rest: Sequence[str]) -> str:
  """Says that --config is missing, with the file that may have been meant."""
  loose = [word for word in rest[1:] if not word.startswith("-")]
  name = loose[0] if loose else "configs/batch.py"
  return f"no config; write --config={name} (see --help)"


def _one_line(text: str) -> str:
  return " ".join(text.split())
