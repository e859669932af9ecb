"""The experiments that the package brings: found by name, and listed.

They are the files of `configs/`; an installed package has copies of them. None
is run to be listed: what it claims and costs stands in its docstring.
"""

import ast
import dataclasses
import pathlib
import re
import textwrap

from jaxpower.config import ConfigError, unknown
from jaxpower.user_code import SUFFIX

# In a checkout a link to `configs/`; a wheel has the files.
FOLDER = pathlib.Path(__file__).parent.parent / "configs"
WIDTH = 79  # of what is printed; chosen: a terminal has 80 columns


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What the docstring of a config says.

  Attributes:
    name: Of its file, without the ending.
    title: Its first line.
    claim: What it is to show, in one line; "" where it does not say.
    cost: How long it takes, in one line; "" where it does not say.
    arguments: Those of its example commands, the first without any.
  """

  name: str
  title: str
  claim: str = ""
  cost: str = ""
  arguments: tuple[str, ...] = ("",)


def names() -> list[str]:
  """Lists the names of all experiments."""
  return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def config_of(text: str) -> str:
  """Returns the config of a name, as `--config` takes it: PATH[:ARGUMENTS].

  A file of the user's is taken as it is. Raises ConfigError on a name that
  nothing has.
  """
  name, colon, arguments = text.partition(":")
  if name in names():
    return f"{FOLDER / name}.py{colon}{arguments}"
  if name.endswith(".py") or SUFFIX in text or "/" in name:
    return text
  raise ConfigError(
    f"{unknown('experiment', name, names())} (or a file: FILE.py)"
  )


def read(name: str) -> Experiment:
  """Reads what an experiment says of itself."""
  text = (FOLDER / f"{name}.py").read_text()
  page = ast.get_docstring(ast.parse(text)) or name
  title, _, rest = page.partition("\n")
  examples = re.findall(rf"--config=configs/{name}\.py(:\S+)?", rest)
  return Experiment(
    name,
    title,
    _part(rest, "Claim"),
    _part(rest, "Cost"),
    tuple(dict.fromkeys(["", *examples])),
  )


def _part(page: str, word: str) -> str:
  """Returns what follows "Claim: ", up to the next part or empty line."""
  pattern = rf"^{word}: (.*?)(?=^[A-Z][a-z]+: |^$|\Z)"
  match = re.search(pattern, page, re.MULTILINE | re.DOTALL)
  # A path may be broken at a slash.
  return " ".join(match[1].split()).replace("/ ", "/") if match else ""


def show() -> int:
  """Prints every experiment with its claim, its cost and its commands."""
  for number, name in enumerate(names()):
    experiment = read(name)
    print(("\n" if number else "") + f"{name}\n  {experiment.title}")
    for word, text in (("claim", experiment.claim), ("cost", experiment.cost)):
      if text:
        line = f"{word}: {text}"
        print(
          textwrap.fill(
            line, WIDTH, initial_indent="  ", subsequent_indent="    "
          )
        )
    for arguments in experiment.arguments:
      print(f"    jaxpower run {name}{arguments}")
  print("\nWith :quick an experiment is tried in a minute or two.")
  return 0
