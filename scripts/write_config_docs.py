"""Rewrites in docs/config.md what the code knows.

  python scripts/write_config_docs.py

That is the default of every field, and the meaning of those whose values are a
fixed list. All other prose is the page's own and stays. Run it after a change
of a default, of such a list, of a network or of an update rule; a test fails
until then.
"""

import json
import pathlib
import re
from collections.abc import Iterable

from jaxpower import config
from jaxpower.architectures import MODELS, NETWORKS
from jaxpower.checks import CHOICES
from jaxpower.config import FRAMEWORKS, OPTIMIZERS

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "config.md"
ROW = re.compile(r"^\| `([\w.]+)` \| `.*?` \| (.*) \|$", re.MULTILINE)
KINDS = {
  "image": "images",
  "window": "windows",
  "tokens": "tokens",
  "text": "the next token",
}


def main() -> None:
  """Rewrites the page in place."""
  PAGE.write_text(rewrite(PAGE.read_text()))


def rewrite(page: str) -> str:
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
      crop="images are moved at random, up to an eighth of a side",
      crop_flip="and mirrored",
    ),
    "dropout": "the share dropped; not for "
    + ", ".join(f"`{name}`" for name in MODELS if not NETWORKS[name].dropout),
    "framework": f"{others('framework')} ([frameworks.md](frameworks.md))",
    "matmul_precision": f"of float32 products, {others('matmul_precision')};"
    " GPUs take TF32 for all but the last",
    "model.name": networks(),
    "optimizer.name": others(
      "optimizer.name",
      **{name: only_in(rule.frameworks) for name, rule in rules},
    ),
    "optimizer.momentum": "of "
    + " and ".join(f"`{name}`" for name, rule in rules if rule.momentum),
    "optimizer.scaling": f"{others('optimizer.scaling')}: the rate grows with"
    " the batch, or with its square root",
    "optimizer.schedule": others(
      "optimizer.schedule",
      cosine="to zero",
      one_cycle="up for 0.3 of it, then down",
      step="a tenth at half and again at three quarters",
      warm_up="up for a tenth of it, then constant",
    ),
    "optimizer.weight_decay": "decoupled for "
    + ", ".join(f"`{name}`" for name, rule in rules if rule.decoupled)
    + "; else added to the gradient",
    "precision": f"of the arithmetic, {others('precision')}; weights stay"
    " float32",
    "program": f"one call between two evaluations, {others('program')}: a call"
    " an update; makes no difference to PyTorch",
    "streaming": f"{others('streaming')}: whether a set stays on the host"
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
  return ", ".join(
    f"{', '.join(names)}{bracketed(note)}" for note, names in groups.items()
  )


def only_in(frameworks: Iterable[str]) -> str:
  """Names the frameworks that have a thing; nothing where all have it."""
  frameworks = tuple(frameworks)
  return "" if frameworks == FRAMEWORKS else f"only in {', '.join(frameworks)}"


def bracketed(note: str) -> str:
  """Puts a note in brackets behind a name; an empty one is nothing."""
  return f" ({note})" if note else ""


if __name__ == "__main__":
  main()
