"""Rewrites what the docs quote, so that it is what the code says now.

  python scripts/write_docs.py

A quotation that is copied by hand goes stale. So two kinds are written here:

- In docs/config.md the default of every field, and the meaning of those whose
  values are a fixed list. All other words are the page's own and stay.
- In README.md and docs/*.md each fenced block below a line

    <!-- report: FOLDER -->
    <!-- report: FOLDER, table and sentence -->

  what scripts/report.py prints of that folder of benchmarks/regimes_cpu, whole
  or without the notes between; and below a line

    <!-- export: FORMAT FOLDER --given=... -->
    <!-- export: FORMAT FOLDER, 2 lines -->

  what `jaxpower export` prints, whole or its first lines; and the pictures that
  README.md and docs/report.md show.

Run it after a change of a default or a fixed list, of a network or an update
rule, of the report's words or a committed record; a test fails until then.
"""

import contextlib
import io
import itertools
import json
import pathlib
import re
import textwrap
from collections.abc import Iterable

from jaxpower import config
from jaxpower.architectures import MODELS, NETWORKS
from jaxpower.cli import main as main_command
from jaxpower.cli import report
from jaxpower.config import FRAMEWORKS, OPTIMIZERS
from jaxpower.plan.field_values import CHOICES
from jaxpower.report.render import figures
from jaxpower.report.render.figure_style import WIDE

ROOT = pathlib.Path(__file__).parent.parent
RUNS = ROOT / "benchmarks" / "regimes_cpu"
CONFIG_PAGE = ROOT / "docs" / "config.md"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
IMAGES = ROOT / "docs" / "images"
# Pictures of the pages: which figure, of which folder.
PICTURES = {
  "batch_cpu.png": ("batch_ten_seeds", "cost"),
  "heat_map.png": ("batch_learning_rate_five_seeds", "heat_map"),
  "phases.png": ("batch_learning_rate_five_seeds", "phases"),
  "frameworks.png": ("frameworks_ten_seeds", "frameworks"),
  "break_even.png": ("transfer", "break_even"),
}

MARKER = re.compile(r"^<!-- (?:report|export): (.*?) -->$", re.MULTILINE)
MARKED_BLOCK = re.compile(
  r"^(<!-- (report|export): ([^\n]*?) -->\n```\w*\n).*?(?=^```$)",
  re.MULTILINE | re.DOTALL,
)
FIRST_LINES = re.compile(r"(.*), (\d+) lines")
# When a report was exported; a quotation has one that does not change.
EXPORTED_AT = re.compile(r'(?<="reportDatetime": ")[^"]*')
TABLE_AND_SENTENCE = ", table and sentence"
WIDTH = 96  # chosen: of the sentences in a block; a table is as wide as it is
OWN_CODE = "a script of your own, [own_code.md](own_code.md)"
ROW = re.compile(r"^\| `([\w.]+)` \| `.*?` \| (.*) \|$", re.MULTILINE)
KINDS = {
  "image": "images",
  "window": "windows",
  "tokens": "tokens",
  "text": "the next token",
}


def main() -> None:
  """Rewrites the pages and the pictures in place."""
  for page in PAGES:
    page.write_text(with_reports(page.read_text()))
  CONFIG_PAGE.write_text(with_fields(CONFIG_PAGE.read_text()))
  for name, (folder, figure) in PICTURES.items():
    (IMAGES / name).write_bytes(picture(folder, figure))


def picture(folder: str, name: str) -> bytes:
  """Draws one figure of a folder's report, as PNG."""
  run = report.read(RUNS / folder)
  made = report.make(run.newest, run.sweep, None, run.found.records)
  (figure,) = (f for s in made.sections for f in s.figures if f.name == name)
  return figures.render(figures.drawing(figure, WIDE), "png")


# Reports


def with_reports(page: str) -> str:
  """Returns the page with the reports and exports that its markers name.

  Raises ValueError where no fenced block follows a marker.
  """
  rewritten, blocks = MARKED_BLOCK.subn(
    lambda block: (
      block[1] + (quotation if block[2] == "report" else exported)(block[3])
    ),
    page,
  )
  if blocks != len(markers := MARKER.findall(page)):
    raise ValueError(f"a marker without its block, of {', '.join(markers)}")
  return rewritten


def quotation(marker: str) -> str:
  """Returns the content of a marker's block: a report, or a part of it.

  Raises ValueError where the marker names no folder.
  """
  folder = marker.removesuffix(TABLE_AND_SENTENCE)
  lines = printed(folder).splitlines()
  if marker.endswith(TABLE_AND_SENTENCE):
    first_section = itertools.takewhile(bool, lines)
    told = list(first_section)
    points = [line for line in told if line.startswith("- ")]
    verdict = told[len(told) - len(points) - 1]
    table = itertools.takewhile(is_row, told)
    lines = [*table, "", verdict, *points]
  wrapped = (
    line if is_row(line) else textwrap.fill(line, WIDTH) for line in lines
  )
  return "".join(f"{line}\n" for line in wrapped)


def printed(folder: str) -> str:
  """Returns what the report of a folder prints; raises ValueError if none."""
  text = io.StringIO()
  with contextlib.redirect_stdout(text):
    code = report.main([str(RUNS / folder)])
  if code:
    raise ValueError(f"there is no report of {folder!r}")
  return text.getvalue()


def exported(marker: str) -> str:
  """Returns what `jaxpower export` prints; raises ValueError if nothing.

  Words that name a committed folder stand for its path.
  """
  first = FIRST_LINES.fullmatch(marker)
  words = [
    str(RUNS / word) if (RUNS / word).is_dir() else word
    for word in (first[1] if first else marker).split()
  ]
  text = io.StringIO()
  with contextlib.redirect_stdout(text):
    code = main_command.main(["export", *words])
  if code:
    raise ValueError(f"there is no export of {marker!r}")
  content = EXPORTED_AT.sub("2026-11-27 08:00:00", text.getvalue())
  if first is None:
    return content
  return "".join(content.splitlines(keepends=True)[: int(first[2])])


def is_row(line: str) -> bool:
  """Whether a line is one of a table, whose columns are two spaces apart."""
  return "  " in line


# Fields of the config


def with_fields(page: str) -> str:
  """Returns the page with the defaults and lists that the code has now."""
  generated, sweep = meanings(), config.Sweep()

  def row(match: re.Match[str]) -> str:
    path, meaning = match.groups()
    default = json.dumps(config.get(sweep, path))
    return f"| `{path}` | `{default}` | {generated.get(path, meaning)} |"

  return ROW.sub(row, page)


def meanings() -> dict[str, str]:
  """Says what each field means whose values are a fixed list."""
  rules = OPTIMIZERS.items()
  return {
    "augmentation": others(
      "augmentation",
      crop="images are moved at random, by up to an eighth of a side",
      crop_flip="and mirrored at random",
    ),
    "batch_norm": f"{others('batch_norm')}: whether batch norms normalise each"
    " device's own examples, or the whole batch",
    "data_sharding": f"{others('data_sharding')}: whether the training set is"
    " whole on each device; `divided` in JAX alone",
    "dropout": "the share of units dropped; not for "
    + ", ".join(f"`{name}`" for name in MODELS if not NETWORKS[name].dropout),
    "execution.attention": others("execution.attention")
    + ": auto is cuDNN's where it takes what a GPU trains"
    " ([gpu.md](gpu.md#switches)), and else plain",
    "execution.command_buffers": others("execution.command_buffers")
    + ": what of a program XLA replays as CUDA graphs",
    "execution.draws": others("execution.draws")
    + ": the generator of dropout's masks",
    "execution.layout": others("execution.layout")
    + ": of convolutions on GPUs; auto is NHWC from Volta on",
    "framework": f"{others('framework', command=OWN_CODE)}"
    " ([frameworks.md](frameworks.md))",
    "matmul_precision": "of float32 matrix products,"
    f" {others('matmul_precision')}; GPUs use TF32 for all but the last",
    "model.name": networks(),
    "optimizer.name": others(
      "optimizer.name",
      **{name: only_in(rule.frameworks) for name, rule in rules},
    ),
    "optimizer.momentum": "of "
    + " and ".join(f"`{name}`" for name, rule in rules if rule.momentum),
    "optimizer.scaling": f"{others('optimizer.scaling')}: the rate grows with"
    " the batch size, or with its square root",
    "optimizer.schedule": others(
      "optimizer.schedule",
      cosine="to zero",
      one_cycle="up for 0.3 of it, then down",
      step="to a tenth at half of it, and again at three quarters",
      warm_up="up for a tenth of it, then constant",
    ),
    "optimizer.weight_decay": "decoupled for "
    + ", ".join(f"`{name}`" for name, rule in rules if rule.decoupled)
    + "; for the others added to the gradient",
    "precision": f"of the arithmetic, {others('precision')}; weights stay"
    " float32",
    "program": f"one call between two evaluations, {others('program')}: one"
    " call for each update; makes no difference in PyTorch",
    "processes": f"{others('processes')}: over how many processes of JAX a"
    " trial on several devices is divided ([processes.md](processes.md))",
    "sharding": f"{others('sharding')}: whether weights and moments are whole"
    " on each device, or divided over them",
    "streaming": f"{others('streaming')}: whether a dataset stays on the host"
    " ([data.md](data.md))",
    "task_weighting": f"{others('task_weighting')}: the weights are learned",
  }


def others(path: str, **notes: str) -> str:
  """Lists a field's values but its default, some with a note in brackets."""
  default = config.get(config.Sweep(), path)
  return "or " + ", ".join(
    f"`{name}`{bracketed(notes.get(name, ''))}"
    for name in CHOICES[path]
    if name != default
  )


def networks() -> str:
  """Lists the networks, those that read the same kinds of data together."""
  groups: dict[str, list[str]] = {}
  for name, network in NETWORKS.items():
    kinds = [KINDS[kind] for kind in network.reads]
    note = ", ".join(filter(None, [*kinds, only_in(network.frameworks)]))
    groups.setdefault(note, []).append(f"`{name}`")
  listed = ", ".join(
    f"{', '.join(names)}{bracketed(note)}" for note, names in groups.items()
  )
  return f"{listed}; or your own ([own.md](own.md))"


def only_in(frameworks: Iterable[str]) -> str:
  """Names the frameworks that have a thing; nothing where all have it."""
  frameworks = tuple(frameworks)
  return "" if frameworks == FRAMEWORKS else f"only in {', '.join(frameworks)}"


def bracketed(note: str) -> str:
  """Puts a note in brackets behind a name; an empty one is nothing."""
  return f" ({note})" if note else ""


if __name__ == "__main__":
  main()
