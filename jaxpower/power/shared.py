"""Domains that several trials share at once, divided among them.

A CPU package or a memory has one counter, whoever works there. Where several
trials run on a machine at once, none of them may be billed all of it; each is
billed an equal part. That is a convention and no measurement, so it is labelled
estimated, and the domain says by how many it is shared. A GPU is one trial's
own and stays as it is.

The CPU model counts a process's own CPU time. What it adds for idle cores is
the machine's, and divided too, unless the process has cores of its own.
"""

from collections.abc import Sequence
from dataclasses import replace

from jaxpower.power.estimate import EstimateSource
from jaxpower.power.rapl import RaplSource
from jaxpower.power.reading import Domain, Reading, Source

SHARED_BY = "shared_by"  # in the description of a source: by how many trials


class SharedSource:
  """An equal part of what a source reads, for one of `at_once` trials."""

  def __init__(self, source: Source, at_once: int):
    self._source = source
    self._at_once = at_once
    self._domains = tuple(_part(each, at_once) for each in source.domains)

  @property
  def domains(self) -> tuple[Domain, ...]:
    """The domains of the source, each labelled as a part."""
    return self._domains

  def read(self) -> list[Reading]:
    """Returns the part of each reading."""
    return [
      replace(
        reading,
        joules=_divided(reading.joules, self._at_once),
        watts=_divided(reading.watts, self._at_once),
      )
      for reading in self._source.read()
    ]

  def describe(self) -> dict[str, object]:
    """Describes the source, and by how many trials it is shared."""
    return self._source.describe() | {SHARED_BY: self._at_once}

  def close(self) -> None:
    """Closes the source."""
    self._source.close()


def divided(
  sources: Sequence[Source],
  at_once: int,
  own_cores: bool = False,
  cores: int = 0,
) -> list[Source]:
  """Divides what of some sources is shared by so many trials at once.

  Args:
    sources: Open sources.
    at_once: How many trials run on the machine at once.
    own_cores: Whether this process has its cores to itself.
    cores: How many idle cores the CPU model counts; 0: as many as this process
      may run on. A job that uses some of its cores has the others all the same.
  """
  found = [_of_cores(source, cores) for source in sources]
  return [_of_one(source, at_once, own_cores) for source in found]


def _of_cores(source: Source, cores: int) -> Source:
  if isinstance(source, EstimateSource) and cores not in (
    0,
    source.model.cores,
  ):
    return EstimateSource(replace(source.model, cores=cores), source.whose)
  return source


def _of_one(source: Source, at_once: int, own_cores: bool) -> Source:
  if at_once == 1:
    return source
  if isinstance(source, RaplSource):
    return SharedSource(source, at_once)
  if isinstance(source, EstimateSource) and not own_cores:
    model, whose = source.model, source.whose
    part = replace(
      model, idle_watts_per_core=model.idle_watts_per_core / at_once
    )
    return EstimateSource(part, whose)
  return source


def _part(domain: Domain, at_once: int) -> Domain:
  most = domain.max_watts
  return replace(
    domain,
    description=f"{domain.description}, an equal part of what {at_once} trials"
    " at once share",
    estimated=True,
    max_watts=None if most is None else most / at_once,
  )


def _divided(value: float | None, at_once: int) -> float | None:
  return None if value is None else value / at_once
