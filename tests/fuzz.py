"""Feeds damaged input to every reader of the product and to its flags.

  python tests/fuzz.py --inputs=120000 [--seed=0] [--only=NAME]

Each input begins as a right one and is damaged: bytes flipped, cut, doubled or
replaced by what has broken parsers before, and, of JSON, any value replaced by
one of another type or size. An input may be refused by the error that its
reader promises, in one line, or taken. Found are: any other error (a
traceback), more than two CPU seconds, an error of several pages, and values
that nobody can have measured. Prints a line for each reader; exit code 1 where
anything was found. tests/test_fuzz.py runs a short form; PYTHONPATH is the
root of the repository, if jaxpower is not installed.
"""

import argparse
import collections
import contextlib
import copy
import dataclasses
import io
import json
import logging
import math
import os
import pathlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from report_records import record

from jaxpower import config, report, weights
from jaxpower.cli import main as meter_cli
from jaxpower.cli import overrides, paths
from jaxpower.cli.config_file import load_config
from jaxpower.config import ConfigError, Sweep
from jaxpower.data import cache, metadata
from jaxpower.data.facts import DataError
from jaxpower.folder import record_files, sweep_file
from jaxpower.learn import imported, safetensors
from jaxpower.plan.checks import check_sweep, check_trial, check_with_sources
from jaxpower.plan.grid import expand, trial_of
from jaxpower.readers import ReadError
from jaxpower.records import RecordError, TrialRecord, from_json, to_json
from jaxpower.report.given import (
  assumptions,
  assumptions_file,
  reference_files,
)
from jaxpower.report.given.assumptions_file import AssumptionError
from jaxpower.report.given.references import BadReferenceError
from jaxpower.report.render.terminal import show
from jaxpower.weights import WeightsError
from jaxpower.wording import ACTED_UPON

ROOT = pathlib.Path(__file__).parent.parent
SLOW_SECONDS = 2.0  # of CPU time, for one input
LONGEST_LINE = 6_000  # characters of an error; chosen
MOST_EXPANDED = 50  # trials of a sweep that are made and checked; chosen
TOKENS = [
  *("", " ", "\n", "\r\n", "\t", "\0", "\x1b[2J", "\x9b1m", "\u202e", "\ud800"),
  *("NaN", "nan", "inf", "-inf", "Infinity", "1e999", "-1", "0", "1e300"),
  *("9" * 400, "9" * 5_000, "[" * 3_000, "{" * 200, "(" * 300, "a" * 300),
  *("=1+1", "@x", "-rf", "../..", "/", "~", "~nobody/x", ":", ",", ",,", "$x$"),
  *("true", "null", "None", "'", '"', "\\", "(1,", "[]", "{}", "()", "\ufeff"),
]
VALUES: list[Any] = [
  *(None, True, False, 0, -1, 1, 2**63, 10**400, 1e300, -0.5, 0.5, 7),
  *(
    math.nan,
    math.inf,
    -math.inf,
    "",
    "x",
    "NaN",
    "\x1b[2J",
    "\ud800",
    "a" * 300,
  ),
  *([], {}, [[]], [None], {"": 1}, {"x": {"y": []}}, [0] * 50),
]


class NonsenseError(Exception):
  """A reader took what cannot be."""


@dataclasses.dataclass(frozen=True)
class Reader:
  """One reader: right inputs, how it reads, and the errors that it promises."""

  inputs: tuple[Any, ...]
  read: Callable[[Any, pathlib.Path], Any]
  promised: tuple[type[BaseException], ...]


@dataclasses.dataclass
class Result:
  """What became of a reader's inputs."""

  taken: int = 0
  refused: int = 0
  slowest: float = 0.0
  found: collections.Counter[str] = dataclasses.field(
    default_factory=collections.Counter
  )
  examples: dict[str, str] = dataclasses.field(default_factory=dict)


# Damage


def damaged(value: Any, draw: random.Random) -> Any:
  """Damages a right input; text, bytes, a list of words or a JSON value."""
  if isinstance(value, bytes):
    return _damaged_bytes(value, draw)
  if isinstance(value, str):
    return _damaged_text(value, draw)
  if isinstance(value, tuple):  # words of a command line
    words = list(value)
    for _ in range(draw.choice((1, 1, 2, 3))):
      place = draw.randrange(len(words) + 1)
      if place == len(words):
        words.append(draw.choice(TOKENS))
      else:
        words[place] = _damaged_text(words[place], draw)
    return tuple(words)
  value = copy.deepcopy(value)
  for _ in range(draw.choice((1, 1, 1, 2, 3))):
    value = _damaged_json(value, draw)
  return value


def _damaged_text(text: str, draw: random.Random) -> str:
  for _ in range(draw.choice((1, 1, 2, 4))):
    begin = draw.randrange(len(text) + 1)
    end = min(len(text), begin + draw.choice((0, 0, 1, 1, 3, 10, 1_000)))
    new = draw.choice((*TOKENS, chr(draw.randrange(256)), text[begin:end] * 2))
    text = text[:begin] + new + text[end:]
    if "=" in text and draw.random() < 0.3:  # the value of a flag or field
      name, _, _ = text.partition("=")
      text = f"{name}={draw.choice(TOKENS)}"
  return text


def _damaged_bytes(right: bytes, draw: random.Random) -> bytes:
  content = bytearray(right)
  for _ in range(draw.choice((1, 1, 2, 8))):
    if not content:
      break
    place = draw.randrange(len(content))
    match draw.randrange(4):
      case 0:
        content[place] ^= 1 << draw.randrange(8)
      case 1:
        del content[place : place + draw.choice((1, 4, 10**6))]
      case 2:
        content[place:place] = draw.choice(TOKENS).encode(errors="replace")
      case 3:
        content[place : place + 8] = draw.randbytes(8)
  return bytes(content)


def _damaged_json(value: Any, draw: random.Random) -> Any:
  places = list(_places(value))
  if not places or draw.random() < 0.02:
    return draw.choice(VALUES)
  holder, key = draw.choice(places)
  match draw.randrange(5):
    case 0:
      del holder[key]
    case 1 if isinstance(holder, dict):
      holder[draw.choice(("x", "", "later", "\x1b"))] = draw.choice(VALUES)
    case 2 if isinstance(holder[key], str):
      holder[key] = _damaged_text(holder[key], draw)
    case 3 if isinstance(holder[key], int | float):
      number = holder[key] if abs(holder[key]) < 1e300 else 1
      holder[key] = number * draw.choice((-1, 0, 1e6, 1e300, 0.5))
    case _:
      holder[key] = copy.deepcopy(draw.choice(VALUES))
  return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
  items: Any = ()
  if isinstance(value, dict):
    items = value.items()
  elif isinstance(value, list):
    items = enumerate(value)
  for key, item in list(items):
    yield value, key
    yield from _places(item)


# Readers


def _flags(words: tuple[str, ...], folder: pathlib.Path) -> None:
  sweep = load_config(words[0])
  given: dict[str, list[str]] = {}
  types = overrides.flag_types(sweep)
  for word in words[1:]:
    name, _equals, text = word.partition("=")
    if name in types:
      given.setdefault(name, []).append(text)
  overrides.apply(sweep, given)
  _checked(sweep)


def _command_line(words: tuple[str, ...], _: pathlib.Path) -> None:
  from jaxpower.cli import run

  given = run.parse(["run.py", *words])
  if given.out is not None:
    paths.path(given.out)
  _checked(given.sweep)


def _checked(sweep: Sweep) -> None:
  check_sweep(sweep)
  if sweep.seeds * math.prod(map(len, sweep.vary.values())) <= MOST_EXPANDED:
    trials = expand(sweep)
  else:
    first = {path: values[0] for path, values in sweep.vary.items()}
    trials = [trial_of(sweep, first, 0)]
    check_with_sources(trials[0], check_trial)
  for trial in trials:
    _finite(config.to_dict(trial))
    if trial.model.width > 1e4 or trial.idle_seconds > 1e6:
      raise NonsenseError("a width or an idle time that nobody has")


def _meter(words: tuple[str, ...], _: pathlib.Path) -> None:
  err = io.StringIO()
  try:
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(err):
      asked = meter_cli.build_parser().parse_args(list(words))
  except SystemExit as left:
    if left.code == 2 and err.getvalue().count("\n") != 1:
      raise NonsenseError("an error of several lines") from None
    raise ConfigError(err.getvalue() if left.code else "") from None
  gpus: list[str] = getattr(asked, "gpus", None) or ["GPU"]
  if getattr(asked, "count", 0) < 0 or "" in gpus:
    raise NonsenseError("a count below 0 or a GPU without a name")


def _references(suffix: str) -> Callable[[Any, pathlib.Path], None]:
  def read(content: Any, folder: pathlib.Path) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    path = folder / f"r{suffix}"
    path.write_bytes(text.encode(errors="surrogatepass"))
    for found in reference_files.read(str(path)):
      _finite(dataclasses.asdict(found))
      if (found.joules or 1) <= 0 or (found.seconds or 1) <= 0:
        raise NonsenseError(f"{found}")

  return read


def _argument(text: str, folder: pathlib.Path) -> None:
  (folder / "r.csv").write_text("name,joules,source\na,5,b\n")
  reference_files.read(f"{folder}/r.csv:{text}")


def _lifecycle(text: str, _: pathlib.Path) -> None:
  for found in assumptions_file.parse(
    text.encode(errors="surrogatepass")
  ).values():
    _finite(found.value)


def _origin(content: Any, folder: pathlib.Path) -> None:
  (folder / weights.ORIGIN).write_bytes(_json(content))
  stated = weights.facts(folder)
  if not 0 <= (stated.joules_spent or 0) <= weights.MOST_JOULES:
    raise NonsenseError(f"{stated}")


def _sums(content: bytes, folder: pathlib.Path) -> None:
  (folder / "a").write_bytes(b"1")
  (folder / weights.SUMS).write_bytes(content)
  if reason := weights.problem(folder):
    raise WeightsError(reason)
  if content.splitlines()[0] != SUMS.splitlines()[0]:
    raise NonsenseError("another checksum was taken")


def _weights(content: bytes, folder: pathlib.Path) -> None:
  path = folder / "w.safetensors"
  path.write_bytes(content)
  for tree in imported.convert(safetensors.read(path)):
    for array in _leaves(tree):
      if not np.isfinite(array).all():
        raise NonsenseError("weights that are no numbers")


def _record(content: Any, _: pathlib.Path) -> None:
  found = from_json(_json(content))
  of_today = config.is_of_today(config.Trial, found.config)
  if of_today and found.trial_id != config.id_of(found.config):
    raise NonsenseError("the id of another config")
  _finite(dataclasses.asdict(found))
  for joules in (found.joules_to_accuracy, found.train_joules):
    if (joules or 0) < 0:
      raise NonsenseError("negative joules")
  if any(not 0 <= (look.accuracy or 0) <= 1 for look in found.curve):
    raise NonsenseError("an accuracy that is no share")


def _report(content: Any, _: pathlib.Path) -> None:
  found = from_json(_json(content))
  out = io.StringIO()
  from rich.console import Console

  show(report.make([found, *BESIDE]), Console(file=out, width=100))
  if ACTED_UPON.search(out.getvalue()):
    raise NonsenseError("what steers a terminal is printed")


def _sweep(content: Any, folder: pathlib.Path) -> None:
  (folder / sweep_file.NAME).write_bytes(_json(content))
  report.make(BESIDE, sweep_file.read(folder))


def _records_folder(content: bytes, folder: pathlib.Path) -> None:
  (folder / "records.jsonl").write_bytes(content)
  for found in record_files.read(folder).records:
    _finite(found.train_joules)


def _metadata(content: Any, folder: pathlib.Path) -> None:
  info, features = (*content, {}, {})[:2] if type(content) is list else (0, 0)
  for split in ("train", "test"):
    for shard in range(2):
      name = f"grey-{split}.array_record-{shard:05d}-of-00002"
      (folder / name).touch()
  (folder / "dataset_info.json").write_bytes(_json(info))
  (folder / "features.json").write_bytes(_json(features))
  facts = metadata.read_metadata("grey", folder).facts
  if facts.train_examples < 1 or facts.test_examples < 1:
    raise NonsenseError(f"{facts}")


def _cache(content: bytes, folder: pathlib.Path) -> None:
  (folder / "c.npz").write_bytes(content)
  for read in (cache.read, cache.map_arrays):
    found = read(folder / "c.npz", "key")
    # Without the array it is made again (data.prepared).
    if found and "x" in found and not (found["x"] == np.arange(40)).all():
      raise NonsenseError("a changed array was taken")


def _path(text: str, folder: pathlib.Path) -> None:
  paths.path(text).exists()


def _json(value: Any) -> bytes:
  return value if isinstance(value, bytes) else json.dumps(value).encode()


def _finite(value: Any) -> None:
  if isinstance(value, float) and not math.isfinite(value):
    raise NonsenseError(f"the number {value}")
  if isinstance(value, dict):
    value = [*value.values()]
  if isinstance(value, list | tuple):
    for item in value:
      _finite(item)


def _leaves(tree: Any) -> Iterator[Any]:
  for item in tree.values():
    yield from _leaves(item) if isinstance(item, dict) else (item,)


# Right inputs

CSV = "name,joules,seconds,batch_size,source\na,5,2.5,64,b\nc,7,,128,d\n"
CODECARBON = (
  "timestamp,project_name,run_id,experiment_id,duration,emissions,cpu_energy,"
  "gpu_energy,ram_energy,energy_consumed,country_name,region,"
  "codecarbon_version,gpu_model,cpu_model,pue\n"
  "2026-01-01T00:00:00,p,a1,x,10,.1,.001,.002,.0001,.0031,X,Y,3.2.3,G,C,1\n"
  "2026-01-01T00:00:00,p,a1,x,20,.1,.002,.004,.0002,.0062,X,3.2.3,C,1\n"
)
ZEUS = (
  "start_time,window_name,elapsed_time,gpu0_energy,gpu1_energy\n"
  "1.5,train,10.5,100.5,90\n20,train,10,100,91\n"
)
SUMS = b"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b  a\n"
INFO = {
  "name": "grey",
  "version": "1.0.0",
  "fileFormat": "array_record",
  "splits": [
    {"name": n, "shardLengths": ["40", "2"], "numBytes": "900"}
    for n in ("train", "test")
  ],
  "supervisedKeys": {
    "tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}
  },
}


def _stored_record(seed: int = 0) -> TrialRecord:
  trial = config.Trial(seed=seed)
  return record(
    64, seed, 200.0 + seed, trial_id=config.trial_id(trial)
  ).__class__(
    **{
      **{
        field.name: getattr(record(64, seed, 200.0 + seed), field.name)
        for field in dataclasses.fields(TrialRecord)
      },
      "trial_id": config.trial_id(trial),
      "config": config.to_dict(trial),
    }
  )


BESIDE = tuple(_stored_record(seed) for seed in (1, 2))


def _safetensors() -> bytes:
  sys.path.insert(0, str(ROOT / "tests"))
  from test_learn_imported import pack, resnet

  return pack(resnet())


def _npz(key: str = "key") -> bytes:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "c.npz"
    cache.write(path, key, {"x": np.arange(40)})
    return path.read_bytes()


def readers() -> dict[str, Reader]:
  """Lists every reader, with right inputs."""
  batch = str(ROOT / "configs" / "batch.py")
  varied = [
    f"vary.{path}=(1, 2)" for path in config.field_types(config.Trial())
  ]
  fields = [f"{path}=1" for path in config.field_types(Sweep())]
  line = json.loads(to_json(_stored_record()))
  origin = {
    "source": "a",
    "joules_spent": 5.0,
    "joules_source": "b",
    "heads": 3,
  }
  sweep = {
    "config": config.to_dict(Sweep(vary={"batch_size": (64, 128)})),
    "meter": "auto",
    "trials": 6,
    "order": [line["trial_id"]],
    "command_line": ["python", "run.py"],
  }
  rows = [
    {"name": "a", "joules": 5, "source": "b"},
    {"name": "c", "seconds": 1, "source": "d"},
  ]
  refused = (BadReferenceError,)
  return {
    "flags of fields": Reader(
      tuple((batch, field) for field in (*varied, *fields)),
      _flags,
      (ConfigError,),
    ),
    "command line of run": Reader(
      tuple(
        (f"--config={batch}", f"--config.{field}", *more)
        for field in (*varied[::7], *fields[::7])
        for more in (("--out=here", "--dry-run"), (":quick", "--meter=nvml"))
      ),
      _command_line,
      (ConfigError,),
    ),
    "arguments of a config": Reader(
      tuple(
        (f"{batch}:{text}",)
        for text in ("quick", "model=cnn", "scaling=linear,quick")
      ),
      _flags,
      (ConfigError,),
    ),
    "measure, doctor, watch": Reader(
      (
        ("watch", "--count=3", "--gpus=GPU-1,GPU-2", "--interval=1"),
        ("measure", "--json=x.json", "--idle=0", "--", "true"),
        ("doctor", "--json"),
      ),
      _meter,
      (ConfigError,),
    ),
    "paths": Reader(("~/runs/a", "a/b.csv"), _path, (ConfigError,)),
    "references: CSV": Reader(
      (CSV, f"# a comment\n\n{CSV}"), _references(".csv"), refused
    ),
    "references: JSON": Reader(
      (rows, {"references": rows}, json.dumps(rows)),
      _references(".json"),
      refused,
    ),
    "references: CodeCarbon": Reader(
      (CODECARBON,), _references(".csv"), refused
    ),
    "references: Zeus": Reader((ZEUS,), _references(".csv"), refused),
    "references: fields": Reader(
      ("model=resnet18,target_accuracy=0.8", "date=2026"), _argument, refused
    ),
    "life cycle": Reader(
      (assumptions.template(),), _lifecycle, (AssumptionError,)
    ),
    "origin of weights": Reader(
      (origin, json.dumps(origin).encode()), _origin, (WeightsError,)
    ),
    "checksums": Reader((SUMS,), _sums, (WeightsError,)),
    "safetensors": Reader((_safetensors(),), _weights, (WeightsError,)),
    "record": Reader((line, json.dumps(line).encode()), _record, (ReadError,)),
    "report of a record": Reader((line,), _report, (ReadError,)),
    "records.jsonl": Reader(
      ("".join(to_json(r) + "\n" for r in BESIDE).encode(),),
      _records_folder,
      (RecordError,),
    ),
    "sweep.json": Reader((sweep,), _sweep, (ReadError,)),
    "metadata of data": Reader(([INFO, FEATURES],), _metadata, (DataError,)),
    "cache of data": Reader((_npz(),), _cache, ()),
  }


CORE = "tensorflow_datasets.core.features"
FEATURES = {
  "featuresDict": {
    "features": {
      "image": {
        "pythonClassName": f"{CORE}.image_feature.Image",
        "image": {
          "shape": {"dimensions": ["8", "8", "1"]},
          "dtype": "uint8",
          "encodingFormat": "png",
        },
      },
      "label": {
        "pythonClassName": (
          "tensorflow_datasets.core.features.class_label_feature.ClassLabel"
        ),
        "classLabel": {"numClasses": "4"},
      },
    }
  }
}


# Running


def feed(reader: Reader, inputs: int, seed: int) -> Result:
  """Feeds damaged inputs to one reader."""
  draw, result = random.Random(seed), Result()
  with tempfile.TemporaryDirectory() as folder:
    for number in range(inputs):
      right = reader.inputs[number % len(reader.inputs)]
      given = damaged(right, draw)
      began = time.process_time()
      _feed_one(reader, given, pathlib.Path(folder), result)
      spent = time.process_time() - began
      result.slowest = max(result.slowest, spent)
      if spent > SLOW_SECONDS:
        _find(result, "slow", given)
  return result


def _feed_one(
  reader: Reader, given: Any, folder: pathlib.Path, result: Result
) -> None:
  try:
    reader.read(given, folder)
    result.taken += 1
  except reader.promised as error:
    result.refused += 1
    if len(str(error)) > LONGEST_LINE + len(repr(given)):
      _find(result, "a long error", given)
  except NonsenseError as error:
    _find(result, f"nonsense: {error}"[:120], given)
  except BaseException as error:
    if isinstance(error, KeyboardInterrupt):
      raise
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}"
    _find(result, f"{type(error).__name__} at {place}", given)


def _find(result: Result, what: str, given: Any) -> None:
  result.found[what] += 1
  result.examples.setdefault(what, repr(given)[:300])


def main() -> int:
  """Feeds all readers; returns 1 where anything was found."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--inputs", type=int, default=120_000)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--only", default="")
  asked = parser.parse_args()
  os.chdir(tempfile.mkdtemp())
  logging.disable()
  known = readers()
  chosen = {n: r for n, r in known.items() if asked.only in n}
  if asked.only in known:  # a name that others hold too
    chosen = {asked.only: known[asked.only]}
  each = -(-asked.inputs // len(chosen))
  total: collections.Counter[str] = collections.Counter()
  for name, reader in chosen.items():
    began = time.process_time()
    result = feed(reader, each, asked.seed)
    spent = time.process_time() - began
    found = sum(result.found.values())
    total += collections.Counter(
      {"inputs": each, "taken": result.taken, "refused": result.refused}
    )
    total["found"] += found
    print(
      f"{name:24} {each:7} inputs  {result.taken:7} taken  {result.refused:7}"
      f" refused  {found:5} found  slowest {result.slowest:.2f} of {spent:.0f}"
      " CPU s",
      flush=True,
    )
    for what, times in result.found.most_common():
      print(f"    {times} x {what}\n      {result.examples[what]}")
  print(", ".join(f"{count} {name}" for name, count in total.items()))
  return 1 if total["found"] else 0


if __name__ == "__main__":
  sys.exit(main())
