"""Prepares a set of tensorflow-datasets once, so that it can be read.

The stock builder does it, with its checksums on and without TensorFlow. Its
failures are slow or leave halves behind, so three things stand around it:

- What cannot succeed is refused before anything is written: features that do
  not fit, files that are neither given nor to be downloaded. Offline, the stock
  downloader hangs for 205 s in ten retries (tensorflow-datasets 4.9.10); here
  each site is asked for one of its files first, which takes seconds.
- Everything is written in one working folder inside the data folder, and the
  finished set is moved into place in a single step. An interrupted preparation
  leaves nothing that could be taken for a set.
- A lock on that folder tells a living preparation from what a killed one left.
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

_ANSWER_SECONDS = 5.0  # a site has so long to connect, and to answer; chosen
_ERROR_LENGTH = 300  # characters of a builder's message, which may be pages


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
  _check_features(name, builder)
  _check_files(name, _published(builder), files)
  try:
    built = _build(name, builder, files, work)
  except OSError as error:
    raise DataError(f"cannot prepare {name!r} in {target}: {error}") from error
  folder = target / built.folder.relative_to(work)
  seconds = time.monotonic() - begin
  return Preparation(built.facts, folder, _size(folder), seconds)


def _size(folder: pathlib.Path) -> int:
  return sum(file.stat().st_size for file in folder.iterdir())


def _source_folder(
  path: str, source: str | os.PathLike | None
) -> pathlib.Path | None:
  """Finds the folder of the published files; None to download them."""
  if source and not pathlib.Path(source).expanduser().is_dir():
    raise DataError(f"--from: there is no folder {os.fspath(source)}")
  place = os.fspath(source) if source else None
  packaged = debian.find_files(place) if path == "fashion_mnist" else None
  return packaged or (pathlib.Path(place).expanduser() if place else None)


def _builder(name: str, work: pathlib.Path) -> Any:
  """Makes the stock builder of a set. Raises DataError where there is none."""
  import tensorflow_datasets as tfds
  import tensorflow_datasets.text  # without TensorFlow not loaded by itself

  # With the community's sets the list would need TensorFlow.
  stock_names = tfds.list_builders(with_community_datasets=False)
  path, version, _ = prepared.split_name(name)
  base = path.split("/")[0]
  if base not in stock_names:
    near = difflib.get_close_matches(base, [*prepared.KNOWN, *stock_names], 1)
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


def _one_line(error: Exception) -> str:
  text = " ".join(str(error).split()) or type(error).__name__
  if len(text) <= _ERROR_LENGTH:
    return text
  return f"{text[: _ERROR_LENGTH - 3]}..."


def _check_features(name: str, builder: Any) -> None:
  """Raises DataError, before a long download, where the set does not fit."""
  info = builder.info
  features = {"featuresDict": info.features.to_json()["content"]}
  size = prepared.split_name(name).size
  choose_features(name, features, info.supervised_keys, size)


class _UrlsWantedError(Exception):
  """Carries what a builder wants to download."""


class _UrlProbe:
  """Stands in for a download manager; ends the builder with what it wants."""

  def download(self, urls: Any) -> NoReturn:
    raise _UrlsWantedError(urls)

  download_and_extract = download


def _published(builder: Any) -> Mapping[str, Any]:
  """Lists the files of a set by URL: of its config, not of all configs."""
  files = builder.url_infos or {}
  try:
    builder._split_generators(_UrlProbe())
  except _UrlsWantedError as error:
    (urls,) = error.args
    wanted = urls.values() if isinstance(urls, Mapping) else [urls]
    return {url: files[url] for url in wanted if url in files} or files
  except (AttributeError, ImportError, LookupError, OSError, TypeError):
    return files  # it needs more than this before it asks, or asks otherwise
  return files


def _check_files(
  name: str, published: Mapping[str, Any], folder: pathlib.Path | None
) -> None:
  """Raises DataError where files are missing and their site is not reached."""
  missing = {
    url: file
    for url, file in published.items()
    if not (folder and (folder / str(file.filename)).is_file())
  }
  reason = unreachable_reason(missing)
  if not reason:
    return
  wanted = ", ".join(str(file.filename) for file in missing.values())
  site = os.path.dirname(next(iter(missing)))
  fix = f"put {wanted} (of {site}) into a folder and give --from=FOLDER"
  if name.startswith("fashion_mnist"):
    fix = f"apt-get install {debian.PACKAGE} and run this again, or {fix}"
  raise DataError(f"data set {name!r} cannot be fetched: {reason}; fix: {fix}")


def unreachable_reason(
  urls: Iterable[str], seconds: float = _ANSWER_SECONDS
) -> str | None:
  """Returns why the sites of `urls` cannot be reached; None if all answer.

  Asks each site for one of its files, and reads only the answer's header.
  """
  one_of_each_site = {urllib.parse.urlsplit(url).netloc: url for url in urls}
  for site, url in one_of_each_site.items():
    reason = _request_with_limit(url, seconds)
    if reason:
      return f"{site} {reason}"
  return None


def _request_with_limit(url: str, seconds: float) -> str | None:
  """Requests a URL; returns what went wrong within twice `seconds`, or None."""
  reasons: list[str | None] = []
  # A look-up of a name has no time limit of its own, so a thread is left to it.
  thread = threading.Thread(
    target=lambda: reasons.append(_request(url, seconds)), daemon=True
  )
  thread.start()
  thread.join(2 * seconds)
  return reasons[0] if reasons else f"gave no answer in {2 * seconds:g} s"


def _request(url: str, seconds: float) -> str | None:
  import requests

  try:
    with requests.get(url, stream=True, timeout=seconds) as answer:
      if answer.ok:
        return None
      return f"answers {answer.status_code} {answer.reason}".rstrip()
  except requests.RequestException as error:
    return f"is not reached ({type(error).__name__})"


def _build(
  name: str, builder: Any, files: pathlib.Path | None, work: pathlib.Path
) -> prepared.Prepared:
  """Builds a set in `work`, and moves it to the folder above when finished."""
  with _clean_folder(work):
    if files and debian.find_files(os.fspath(files)):
      files = debian.restore_published_files(files, work / "manual")
    _download_and_prepare(name, builder, files, work / "downloads")
    built = prepared.find(name, work)
    if built is None:
      raise DataError(f"tensorflow-datasets prepared another set than {name!r}")
    # Reading all of it proves the set, and spares the first trial the decoding.
    prepared.load_prepared(built)
    folder = work.parent / built.folder.relative_to(work)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.rename(built.folder, folder)
    return built


@contextlib.contextmanager
def _clean_folder(work: pathlib.Path) -> Iterator[None]:
  """Makes and locks an empty folder; removes it at the end, whatever happens.

  What a killed preparation left is deleted. Raises DataError where the lock
  shows that another preparation is alive.
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


def _download_and_prepare(
  name: str,
  builder: Any,
  files: pathlib.Path | None,
  downloads: pathlib.Path,
) -> None:
  """Runs the stock builder, quietly; its failures become DataError."""
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
