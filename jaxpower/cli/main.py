"""`jaxpower`, or `python -m jaxpower`: one command line for all there is.

A wrong command line is one line and exit code 2. Nothing but the meter is
imported for the meter's commands; those that train and report import their
packages when they are called (`sweeps`).
"""

import argparse
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import jaxpower
from jaxpower.cli import crash, doctor, export, measure, sweeps, watch
from jaxpower.cli.paths import path as path_of
from jaxpower.config import ConfigError
from jaxpower.power import MeterError
from jaxpower.power.sources import METERS
from jaxpower.wording import on_one_line

MODULE = "python -m jaxpower"  # as it is called without the console command
COMMANDS = ("measure", "doctor", "watch", "export", *sweeps.COMMANDS)
EXPORTING = "hand what run folders hold to papers, trackers and other tools"
OPTIONS = (
  *("--meter", "--gpus", "--interval", "--json", "--idle", "--count"),
  *("--repeat", "--serve", "--given", "--share", "--out"),
)
ALIKE = 0.7  # chosen: difflib's likeness from which a name is proposed
MOST_TURNS = 10**18  # chosen: no terminal lives so long
MOST_REPEATS = 10_000  # chosen: each is kept until the end
LAST_PORT = 2**16 - 1
SHORTEST_SECONDS, LONGEST_SECONDS = 1e-3, 3600.0


class Parser(argparse.ArgumentParser):
  """An argument parser whose errors are one line with the nearest name."""

  def error(self, message: str) -> NoReturn:
    """Says what is wrong and exits with 2."""
    hint = self._hint(message)
    line = on_one_line(f"{self.prog}: {message}{hint}; see {self.prog} --help")
    self.exit(2, f"{line}\n")

  def _hint(self, message: str) -> str:
    """Proposes the name nearest to a word of argparse's message."""
    names = [*COMMANDS, *METERS, *OPTIONS]
    # In brackets argparse lists the right names: they are not misspelt.
    for word in re.findall(r"-{0,2}[A-Za-z][\w-]*", message.split("(")[0]):
      near = get_close_matches(word, names, n=1, cutoff=ALIKE)
      if near and word not in names:
        return f"; did you mean {near[0]!r}?"
    return ""


def seconds(text: str) -> float:
  """Parses a positive number of seconds."""
  try:
    value = float(text)
  except ValueError:
    value = 0.0
  if not SHORTEST_SECONDS <= value <= LONGEST_SECONDS:
    raise argparse.ArgumentTypeError(f"{text!r} is not 0.001 to 3600 seconds")
  return value


def idle_seconds(text: str) -> float:
  """Parses a number of seconds, or 0 for none."""
  try:
    return float(text) and seconds(text)
  except (ValueError, argparse.ArgumentTypeError):
    raise argparse.ArgumentTypeError(
      f"{text!r} is not 0, nor 0.001 to 3600 seconds"
    ) from None


def turns(text: str) -> int:
  """Parses how many pictures to show, from 1 on."""
  if not (text.isascii() and text.isdecimal() and 0 < int(text) < MOST_TURNS):
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
  return int(text)


def port(text: str) -> int:
  """Parses a port of TCP; 0 is any that is free."""
  if not (text.isascii() and text.isdecimal() and int(text) <= LAST_PORT):
    raise argparse.ArgumentTypeError(
      f"{text!r} is not a port, 0 to {LAST_PORT}"
    )
  return int(text)


def names(text: str) -> list[str]:
  """Parses names of GPUs, separated by commas."""
  found = [name.strip() for name in text.split(",")]
  if not all(found):
    raise argparse.ArgumentTypeError(
      f"{text!r} leaves a GPU unnamed; write --gpus=UUID,UUID"
    )
  return found


def path(text: str) -> Path:
  """Parses a path of a file."""
  try:
    return path_of(text)
  except ConfigError as error:
    raise argparse.ArgumentTypeError(str(error)) from None


def repeats(text: str) -> int:
  """Parses how often a command runs."""
  if not text.isdecimal() or not 1 <= int(text) <= MOST_REPEATS:
    raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {MOST_REPEATS}")
  return int(text)


def build_parser(prog: str = MODULE) -> Parser:
  """Builds the parser of the whole command line."""
  parser = Parser(
    prog=prog,
    description="Measures what it costs in joules to train a network to an"
    " accuracy, and the energy of any program on this machine.",
  )
  parser.add_argument(
    "--version", action="version", version=f"jaxpower {jaxpower.__version__}"
  )
  commands = parser.add_subparsers(
    dest="command", required=True, parser_class=Parser
  )
  _add_measure(commands)
  _add_doctor(commands)
  _add_watch(commands)
  commands.add_parser("export", help=EXPORTING, add_help=False)
  for name, summary in sweeps.COMMANDS.items():
    commands.add_parser(name, help=summary, add_help=False)
  return parser


def _add_measure(commands: Any) -> None:
  parser = commands.add_parser(
    "measure",
    help="run a command under the meter",
    usage="%(prog)s [options] -- COMMAND ARGS",
    description="Runs a command under the meter. Its streams, signals and exit"
    " code pass untouched; the table comes on stderr.",
  )
  _meter_arguments(parser)
  parser.add_argument(
    "--interval",
    type=seconds,
    metavar="S",
    help="read every S seconds (default: near the sensors' own ticks)",
  )
  parser.add_argument(
    "--json", type=path, metavar="FILE", help="write it as JSON"
  )
  parser.add_argument(
    "--idle",
    type=idle_seconds,
    default=1.0,
    metavar="S",
    help="measure idle power this long before the command (default 1, 0: not;"
    " a model's is known without)",
  )
  parser.add_argument(
    "-r",
    "--repeat",
    type=repeats,
    default=1,
    metavar="N",
    help="run it N times, for the mean and its interval; stops at a failure",
  )
  parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_doctor(commands: Any) -> None:
  parser = commands.add_parser(
    "doctor",
    help="what can be measured here, and how to fix the rest",
    description="Checks what can be measured; exit code 1 when nothing can.",
  )
  parser.add_argument(
    "--json", action="store_true", help="print JSON on stdout"
  )


def _add_watch(commands: Any) -> None:
  parser = commands.add_parser(
    "watch",
    help="live watts of every device",
    description="Shows live watts of every device until interrupted.",
  )
  _meter_arguments(parser)
  parser.add_argument(
    "--interval",
    type=seconds,
    metavar="S",
    help="show a new picture every S seconds (default 1, at least 0.2)",
  )
  parser.add_argument(
    "--serve",
    type=port,
    metavar="PORT",
    help="serve it to Prometheus too, on this machine alone",
  )
  parser.add_argument(
    "--count", type=turns, default=0, metavar="N", help="stop after N lines"
  )


def export_parser(prog: str) -> Parser:
  """Builds the parser of `export`, whose words and flags may mix."""
  parser = Parser(
    prog=prog,
    usage="%(prog)s FORMAT [RUN_FOLDER...] [--out=PLACE] [--given=NAME=VALUE]",
    description=f"{EXPORTING}. Formats:\n\n{export.formats_text()}",
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("format", help=argparse.SUPPRESS)
  parser.add_argument("folders", nargs="*", help=argparse.SUPPRESS)
  parser.add_argument(
    "--out", metavar="PLACE", help="file, or folder, to write (texts: stdout)"
  )
  parser.add_argument(
    "--given",
    action="append",
    default=[],
    metavar="NAME=VALUE",
    help="what no record knows, as grid_intensity=380; several may be given",
  )
  parser.add_argument(
    "--share",
    action="store_true",
    help="leave out host, paths, environment, UUIDs, command line",
  )
  return parser


def _export(prog: str, arguments: Sequence[str]) -> int:
  args = export_parser(prog).parse_intermixed_args(list(arguments))
  return export.run(
    args.format, args.folders, args.out, args.given, args.share, prog
  )


def _meter_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("--meter", choices=METERS, default="auto")
  parser.add_argument(
    "--gpus",
    type=names,
    metavar="UUID,...",
    help="the job's GPUs (default: visible ones)",
  )


def console() -> None:
  """Runs the console command `jaxpower`; exits with its code."""
  sys.exit(crash.guard("jaxpower", main, sys.argv[1:], "jaxpower"))


def main(arguments: Sequence[str], prog: str = MODULE) -> int:
  """Runs one command; returns the exit code.

  Args:
    arguments: Those after the name of the program.
    prog: How it was called.
  """
  if arguments and arguments[0] in sweeps.COMMANDS:
    return sweeps.main(prog, arguments[0], arguments[1:])
  if arguments and arguments[0] == "export":
    return _export(f"{prog} export", arguments[1:])
  parser = build_parser(prog)
  args = parser.parse_args(list(arguments))
  gpus = getattr(args, "gpus", None)
  try:
    if args.command == "doctor":
      return doctor.run(json_wanted=args.json)
    if args.command == "watch":
      return watch.run(args.meter, gpus, args.interval, args.count, args.serve)
    rest = args.rest[1:] if args.rest[:1] == ["--"] else args.rest
    if not rest:
      print(
        f"{prog} measure: no command given;"
        " write it after --, as in: measure -- python train.py",
        file=sys.stderr,
      )
      return 2
    return measure.run(
      rest,
      args.meter,
      gpus,
      args.interval,
      args.idle,
      args.json,
      args.repeat,
    )
  except (ConfigError, MeterError) as error:
    line = on_one_line(str(error))
    print(f"{prog} {args.command}: {line}", file=sys.stderr)
    return 2
