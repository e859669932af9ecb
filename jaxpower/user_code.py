"""Loads a class or a function from a file of the user's: `nets.py:WideNet`.

What stands in the file is known without running it (`defined`), so that a typo
is answered before anything loads. While the file is run it may import what lies
beside it, as a script may, or beside its folder; afterwards neither the path
nor these modules are left, so that another file has its own. The checksum is
over the file and over the modules beside it that it imports, and they import:
whoever edits one of them trains another network.
"""

import ast
import contextlib
import difflib
import functools
import hashlib
import importlib.util
import inspect
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

SUFFIX = ".py:"  # between a file and a name in it
INTERNAL = ("parent", "name", "rngs", "self")  # Flax's; not worth naming
# Ends the name of the class that PyTorch takes of a file that has both.
TWIN = "Torch"
HEAD = "head"  # the last layer of every network
EXAMPLES = 2  # of the batch that a network is tried on before it is trained
DIGITS = 16  # of a checksum in hex; chosen: no two files of a user collide


class UserCodeError(Exception):
  """A user's file that cannot be used: one line with what, where and why."""


class Place(NamedTuple):
  """Where something is defined: a file, and a name in it."""

  path: pathlib.Path
  name: str


def place_of(text: str) -> Place | None:
  """Splits "nets.py:WideNet"; None where a text is no such place."""
  before, suffix, name = text.rpartition(SUFFIX)
  if not suffix:
    return None
  return Place(pathlib.Path(f"{before}.py").expanduser(), name)


def require(place: Place, alternatives: Collection[str] = ()) -> None:
  """Raises UserCodeError unless a file defines the name, or an alternative.

  The file is read and not run. What it takes over from elsewhere with
  `import *` may be anything.
  """
  names = defined(place.path)
  if "*" in names or {place.name, *alternatives} & names:
    return
  shown = place.name or "a name"
  public = sorted(name for name in names if not name.startswith("_"))
  near = difflib.get_close_matches(place.name, public, 1, cutoff=0.5)
  hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(public)}"
  raise UserCodeError(
    f"{place.path} does not define {shown}; {hint if public else 'write it'}"
  )


def defined(path: pathlib.Path) -> set[str]:
  """Lists the names at the top of a file; "*" stands for `import *`."""
  names: set[str] = set()
  bodies: list[Any] = [_parsed(path, _read(path)).body]
  while bodies:
    for node in bodies.pop():
      match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
          names.add(node.name)
        case ast.Import() | ast.ImportFrom():
          names |= {each.asname or each.name for each in node.names}
        case ast.Assign() | ast.AnnAssign():
          names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        case ast.If() | ast.Try() | ast.With():
          bodies += [
            getattr(node, part)
            for part in ("body", "orelse", "finalbody")
            if hasattr(node, part)
          ]
          bodies += [each.body for each in getattr(node, "handlers", ())]
  return names


def checksum(path: pathlib.Path) -> str:
  """Hashes a file and what it imports from beside it: DIGITS of SHA-256."""
  seen: dict[pathlib.Path, bytes] = {}
  waiting = [path]
  while waiting:
    file = waiting.pop()
    if file not in seen:
      seen[file] = _read(file)
      names = _imports(file, seen[file])
      # Beside the first file, where imports look, and relative ones.
      waiting += [*_beside(path, names), *_beside(file, names)]
  digest = hashlib.sha256()
  for file in sorted(seen):
    name = os.path.relpath(file, path.parent)
    content = seen[file]
    digest.update(f"{name} {len(content)};".encode() + content)
  return digest.hexdigest()[:DIGITS]


def load(text: str, fingerprint: str = "") -> dict[str, Any]:
  """Runs a file once in a process and returns what it defines, by name.

  Args:
    text: A place in it.
    fingerprint: The checksum that it has to have; "": any.

  Raises UserCodeError where the file is missing, broken or another one.
  """
  place = place_of(text)
  assert place is not None
  path = place.path.absolute()
  found = checksum(path)
  if fingerprint and found != fingerprint:
    raise UserCodeError(
      f"{place.path} is not the file that the sweep was planned with (checksum"
      f" {found}, not {fingerprint}); put it back, or run the command again"
    )
  return _run(path, found)


@functools.lru_cache
def _run(path: pathlib.Path, fingerprint: str) -> dict[str, Any]:
  name = f"jaxpower_user_{path.stem}_{fingerprint}"
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # dataclasses look their module up
  try:
    with importable(path.parent, but=name):
      spec.loader.exec_module(module)
  # Whatever the user's file raises, exit() too.
  except (Exception, SystemExit) as error:  # noqa: BLE001
    del sys.modules[name]
    raise UserCodeError(raised(error, path)) from None
  return vars(module)


def raised(error: BaseException, path: pathlib.Path) -> str:
  """Says in one line what a user's file raised, and at which line of it."""
  kind = type(error).__name__
  message = " ".join(f"{kind}: {str(error) or kind}".split())
  return f"{location(error, path)}: {message}"


def called(text: str, call: Callable[[], T]) -> T:
  """Calls what a place defines; UserCodeError in a line on what it raises."""
  place = place_of(text)
  assert place is not None
  try:
    return call()
  except UserCodeError:
    raise
  except Exception as error:  # noqa: BLE001, it is anybody's code
    raise UserCodeError(raised(error, place.path)) from None


def location(error: BaseException, path: pathlib.Path) -> str:
  """Names the file, and the line of it that raised."""
  if isinstance(error, SyntaxError):
    return f"{path}, line {error.lineno}"
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if os.path.basename(frame.filename) == path.name
  ]
  return f"{path}, line {lines[-1]}" if lines else str(path)


@contextlib.contextmanager
def importable(folder: pathlib.Path, but: str = "") -> Iterator[None]:
  """Lets modules of a folder be imported, and of the folder above it.

  Those that were are forgotten afterwards, but for the one named `but`.
  """
  before, loaded = list(sys.path), {*sys.modules, but}
  sys.path[:] = [str(folder), *before, str(folder.parent)]
  try:
    yield
  finally:
    # First the modules: a package without a file asks the path where it lies.
    for name in set(sys.modules) - loaded:
      if _lies_in(sys.modules[name], folder):
        del sys.modules[name]
    sys.path[:] = before


def _lies_in(module: object, folder: pathlib.Path) -> bool:
  """Whether a module, or a package without a file, is of a folder."""
  places = [getattr(module, "__file__", None)]
  with contextlib.suppress(TypeError):  # torch.classes has any attribute
    places += list(getattr(module, "__path__", ()))
  return any(
    isinstance(place, str) and folder in _and_above(place) for place in places
  )


def _and_above(place: str) -> list[pathlib.Path]:
  path = pathlib.Path(place).resolve()
  return [path, *path.parents]


def _read(path: pathlib.Path) -> bytes:
  try:
    return path.read_bytes()
  except OSError as error:
    beside = sorted(each.name for each in path.parent.glob("*.py"))
    near = difflib.get_close_matches(path.name, beside, 1, cutoff=0.5)
    hint = f"; did you mean {path.with_name(near[0])}?" if near else ""
    reason = "is not there" if not path.exists() else error.strerror
    raise UserCodeError(f"{path} {reason}{hint}") from None


def _parsed(path: pathlib.Path, content: bytes) -> ast.Module:
  try:
    return ast.parse(content, str(path))
  except (SyntaxError, ValueError) as error:
    raise UserCodeError(raised(error, path)) from None


@functools.lru_cache
def _imports(path: pathlib.Path, content: bytes) -> frozenset[str]:
  """Lists the dotted names that a file may import, in functions too."""
  names: set[str] = set()
  for node in ast.walk(_parsed(path, content)):
    if isinstance(node, ast.Import):
      names |= {each.name for each in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {f"{node.module}.{each.name}" for each in node.names}
      names |= {each.name for each in node.names} if node.level else set()
      names.add(node.module or "")
  return frozenset(filter(None, names))


def _beside(path: pathlib.Path, names: Iterable[str]) -> list[pathlib.Path]:
  """Lists the files beside a file, or in folders there, that names import."""
  files = []
  for name in names:
    module = path.parent.joinpath(*name.split("."))
    files += [module.with_suffix(".py"), module / "__init__.py"]
  return [file for file in files if file.is_file()]


def arguments(
  what: str,
  function: Callable[..., Any],
  needed: Mapping[str, Any],
  offered: Mapping[str, Any],
  options: Mapping[str, Any],
) -> dict[str, Any]:
  """Chooses what a user's class or function is called with, by name.

  Args:
    what: What it is, for the error.
    function: It.
    needed: What it has to take.
    offered: What it gets where it takes it.
    options: The user's own, all of which it has to take.

  Raises UserCodeError on a name that it does not take, or that it needs and
  nobody gives.
  """
  # Of a class of NNX the signature is that of its metaclass.
  called: Any = function.__init__ if inspect.isclass(function) else function
  parameters = dict(inspect.signature(called).parameters)
  parameters.pop("self", None)
  anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
  names = [
    name
    for name, p in parameters.items()
    if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
  ]
  shown = ", ".join(name for name in names if name not in INTERNAL)
  for name in (*needed, *options):
    if name not in names and not anything:
      near = difflib.get_close_matches(name, names, 1)
      hint = f"did you mean {near[0]}?" if near else f"it has ({shown})"
      raise UserCodeError(f"{what} takes no argument {name}; {hint}")
  if twice := sorted(options.keys() & (needed.keys() | offered.keys())):
    raise UserCodeError(f"{what}: {twice[0]} is no option, it is filled in")
  chosen = {
    **needed,
    **{name: value for name, value in offered.items() if name in names},
    **options,
  }
  missing = [
    name
    for name in names
    if parameters[name].default is inspect.Parameter.empty
    and name not in chosen
  ]
  if missing:
    raise UserCodeError(
      f"{what} needs {', '.join(missing)}; give --config.model.options."
      f"{missing[0]}=VALUE, or a default"
    )
  return chosen
