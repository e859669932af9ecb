"""Prepares a set of tensorflow-datasets once, so that it can be read.

The stock builder does it, with its checksums on and without TensorFlow. All
happens in one working folder inside the data folder; the finished set is
moved into place in a single step, so that an interrupted preparation leaves
nothing that could be taken for a set.

Whether files can be downloaded at all, known within seconds.

Without it, a downloader that retries ten times hangs for minutes offline.
"""

import contextlib
import dataclasses
import difflib
import fcntl
import io
import os
import pathlib
import shutil
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from jaxpower.data import bundled, debian, prepared
from jaxpower.data.facts import DataError, Facts
from jaxpower.data.features import choose_features
from jaxpower.data.tensorflow_free import tensorflow_free

_SECONDS = 5.0


def why_unreachable(
  urls: Iterable[str], seconds: float = _SECONDS
) -> str | None:
  """Why the sites of `urls` cannot be reached; None where all answer.

  Asks each site for one of its files, and reads only the answer's header.
  """
  one_of_each_site = {urllib.parse.urlsplit(url).netloc: url for url in urls}
  for site, url in one_of_each_site.items():
    why = _ask_url(url, seconds)
    if why:
      return f"{site} {why}"
  return None


def _ask_url(url: str, seconds: float) -> str | None:
  answers: list[str | None] = []
  # A look-up of a name has no time limit of its own, so a thread is left to it.
  thread = threading.Thread(
    target=lambda: answers.append(_get(url, seconds)), daemon=True
  )
  thread.start()
  thread.join(2 * seconds)
  return answers[0] if answers else f"gave no answer in {2 * seconds:g} s"


def _get(url: str, seconds: float) -> str | None:
  import requests

  try:
    with requests.get(url, stream=True, timeout=seconds) as answer:
      if answer.ok:
        return None
      return f"answers {answer.status_code} {answer.reason}".rstrip()
  except requests.RequestException as error:
    return f"is not reached ({type(error).__name__})"


@dataclasses.dataclass(frozen=True)
class Preparation:
  """What was done; `seconds` is None where the set was there already."""

  facts: Facts
  folder: pathlib.Path
  bytes: int
  seconds: float | None


def prepare(
  name: str,
  data_dir: str | os.PathLike | None = None,
  source: str | os.PathLike | None = None,
) -> Preparation:
  """Prepares a set under `data_dir` unless it is there.

  `source` is a folder with the published files, or with those of Debian's
  package for fashion_mnist, which is also found by itself. What it does not
  hold is downloaded. Raises DataError, and then leaves no set behind.
  """
  if name in bundled.BUNDLED:
    raise DataError(f"data set {name!r} comes with jaxpower; use it as it is")
  begin = time.monotonic()
  path = prepared.split_name(name).path
  target = prepared.default_data_dir(data_dir)
  there = prepared.find(name, target)
  if there:
    return Preparation(there.facts, there.folder, _size(there.folder), None)
  files = _source_folder(path, source)
  work = target / f"incomplete.jaxpower.{path.replace('/', '.')}"
  builder = _builder(name, work)
  _need_features(name, builder)
  _need_files(name, _published(builder), files)
  try:
    made = _make(name, builder, files, work)
  except OSError as error:
    raise DataError(f"cannot prepare {name!r} in {target}: {error}") from error
  folder = target / made.folder.relative_to(work)
  seconds = time.monotonic() - begin
  return Preparation(made.facts, folder, _size(folder), seconds)


def _make(
  name: str, builder: Any, files: pathlib.Path | None, work: pathlib.Path
) -> prepared.Prepared:
  """Prepares in `work`, and moves the finished set to the folder above it."""
  with _kept_clean(work):
    if files and debian.find_files(os.fspath(files)):
      files = debian.restore_published_files(files, work / "manual")
    _build(name, builder, files, work / "downloads")
    made = prepared.find(name, work)
    if made is None:
      raise DataError(f"tensorflow-datasets prepared another set than {name!r}")
    # Reading all of it proves the set, and spares the first trial the decoding.
    prepared.load_prepared(made)
    folder = work.parent / made.folder.relative_to(work)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.rename(made.folder, folder)
    return made


def _source_folder(
  path: str, source: str | os.PathLike | None
) -> pathlib.Path | None:
  """The folder to take the published files from; None to download them."""
  if source and not pathlib.Path(source).expanduser().is_dir():
    raise DataError(f"--from: there is no folder {os.fspath(source)}")
  place = os.fspath(source) if source else None
  found = debian.find_files(place) if path == "fashion_mnist" else None
  return found or (pathlib.Path(place).expanduser() if place else None)


def _builder(name: str, work: pathlib.Path) -> Any:
  """The stock builder of a set. Raises DataError where there is none."""
  import tensorflow_datasets as tfds
  import tensorflow_datasets.text  # without TensorFlow not loaded by itself

  # With the community's sets the list would need TensorFlow.
  known = tfds.list_builders(with_community_datasets=False)
  path, version, _ = prepared.split_name(name)
  base = path.split("/")[0]
  if base not in known:
    near = difflib.get_close_matches(base, [*prepared.KNOWN, *known], 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise DataError(f"tensorflow-datasets has no set {base!r} to prepare{hint}")
  try:
    # A set that needs TensorFlow says so on stdout too.
    with contextlib.redirect_stdout(io.StringIO()):
      return tfds.builder(
        f"{path}:{version}" if version else path,
        data_dir=work,
        file_format="array_record",
      )
  except Exception as error:
    raise DataError(
      f"tensorflow-datasets cannot make {name!r}: {_one_line(error)}"
    ) from error


def _need_features(name: str, builder: Any) -> None:
  """Says before a long download that the set would not fit."""
  info = builder.info
  features = {"featuresDict": info.features.to_json()["content"]}
  size = prepared.split_name(name).size
  choose_features(name, features, info.supervised_keys, size)


class _AskedError(Exception):
  """Carries what a builder wants to download."""


class _Asking:
  """Stands in for a download manager, and is asked for files once."""

  def download(self, urls: Any) -> NoReturn:
    raise _AskedError(urls)

  download_and_extract = download


def _published(builder: Any) -> Mapping[str, Any]:
  """The files of a set by address: of its config, not of all configs."""
  known = builder.url_infos or {}
  try:
    builder._split_generators(_Asking())
  except _AskedError as asked:
    (urls,) = asked.args
    wanted = urls.values() if isinstance(urls, Mapping) else [urls]
    return {url: known[url] for url in wanted if url in known} or known
  except (AttributeError, ImportError, LookupError, OSError, TypeError):
    return known  # it needs more than this before it asks, or asks otherwise
  return known


def _need_files(
  name: str, published: Mapping[str, Any], folder: pathlib.Path | None
) -> None:
  """Raises DataError where files are missing and their site is not reached."""
  missing = {
    url: file
    for url, file in published.items()
    if not (folder and (folder / str(file.filename)).is_file())
  }
  why = why_unreachable(missing)
  if not why:
    return
  wanted = ", ".join(str(file.filename) for file in missing.values())
  site = os.path.dirname(next(iter(missing)))
  mend = f"put {wanted} (of {site}) into a folder and give --from=FOLDER"
  if name.startswith("fashion_mnist"):
    mend = f"apt-get install {debian.PACKAGE} and run this again, or {mend}"
  raise DataError(f"data set {name!r} cannot be fetched: {why}; mend: {mend}")


@contextlib.contextmanager
def _kept_clean(work: pathlib.Path) -> Iterator[None]:
  """Makes the folder empty, and removes it at the end, whatever happens.

  What a killed preparation left is swept; the lock tells it from a living one.
  """
  work.mkdir(parents=True, exist_ok=True)
  handle = os.open(work, os.O_RDONLY)
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise DataError(
        f"another preparation is at work in {work}; wait for it to end"
      ) from error
    _empty(work)
    try:
      yield
    finally:
      shutil.rmtree(work, ignore_errors=True)
  finally:
    os.close(handle)


def _empty(folder: pathlib.Path) -> None:
  for entry in folder.iterdir():
    if entry.is_dir() and not entry.is_symlink():
      shutil.rmtree(entry)
    else:
      entry.unlink()


def _build(
  name: str,
  builder: Any,
  files: pathlib.Path | None,
  downloads: pathlib.Path,
) -> None:
  import tensorflow_datasets as tfds

  if not sys.stderr.isatty():
    tfds.disable_progress_bar()
  config = tfds.download.DownloadConfig(
    manual_dir=files,
    force_checksums_validation=True,
    try_download_gcs=False,
  )
  try:
    # Its chatter on stdout would stand among results.
    with tensorflow_free(builder), contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare(
        download_dir=downloads, download_config=config
      )
  except Exception as error:
    raise DataError(
      f"tensorflow-datasets could not prepare {name!r}: {_one_line(error)}"
    ) from error


def _one_line(error: Exception) -> str:
  text = " ".join(str(error).split()) or type(error).__name__
  return text if len(text) <= 300 else f"{text[:297]}..."


def _size(folder: pathlib.Path) -> int:
  return sum(file.stat().st_size for file in folder.iterdir())
