"""Whether frameworks may be set against each other, and how they differ."""

import json
from collections.abc import Iterator, Sequence

from jaxpower.records import TrialRecord
from jaxpower.report.cases import Case
from jaxpower.report.ground import CPU, NO_UUID
from jaxpower.report.groups import Comparison


def warnings(found: Sequence[Case], first: str) -> Iterator[str]:
  """Why a framework may not be set against the first one, though it ran."""
  grounds: dict[tuple[str, str], list[Comparison]] = {}
  for case in found:
    for name in case.sides:
      grounds.setdefault((case.key, name), []).append(case.ground)
  for (key, name), there in grounds.items():
    here = grounds.get((key, first), [])
    if name != first and here and not any(place in here for place in there):
      yield _apart(first, here[0], name, there[0])
  for case in found:
    if len(case.sides) > 1 and not _placed(case.ground):
      who = " and ".join(case.sides)
      yield f"Whether {who} ran on the same device is not recorded."


def shared(found: Sequence[Case]) -> Iterator[str]:
  """Says on which devices frameworks ran side by side."""
  for case in found:
    ground = case.ground
    if len(case.sides) > 1 and ground.devices and _placed(ground):
      where = " + ".join(ground.devices)
      if ground.devices == (CPU,):
        where = f"the CPU of {ground.machine or 'an unnamed machine'}"
      yield f"Same devices, same meter: {', '.join(case.sides)} on {where}."


def unmatched(
  found: Sequence[Case], frameworks: Sequence[str]
) -> Iterator[str]:
  """Names frameworks that ran nothing which the first one ran too."""
  first, *others = frameworks
  keys = {
    name: {case.key for case in found if name in case.sides}
    for name in frameworks
  }
  for name in others:
    if not keys[name] & keys[first]:
      yield (
        f"{name} ran nothing that {first} ran too: their configs differ in"
        " more than the framework, so no ratio is made."
      )


def numerics(
  records: Sequence[TrialRecord], frameworks: Sequence[str]
) -> Iterator[str]:
  """What differs between the frameworks by nature, a line each."""
  for key in sorted({key for record in records for key in record.numerics}):
    said = {name: _numeric(records, name, key) for name in frameworks}
    if len(set(said.values())) > 1:
      told = "; ".join(f"{name} {words}" for name, words in said.items())
      yield f"By nature: {key.replace('_', ' ')}: {told}."


def _placed(ground: Comparison) -> bool:
  """Whether it is known on which device the trials of a ground ran."""
  if any(domain.startswith("GPU-") for domain in ground.domains):
    return True
  return bool(ground.devices) and not any(
    NO_UUID in device for device in ground.devices
  )


def _apart(first: str, here: Comparison, name: str, there: Comparison) -> str:
  facts = (
    ("run on the same devices", " + ".join, lambda c: c.devices),
    ("run on the same machine", str, lambda c: c.machine),
    ("seen by the same meter", " + ".join, lambda c: c.domains),
    ("both measured", _how, lambda c: c.estimated),
  )
  for what, words, read in facts:
    if read(here) != read(there):
      a, b = (words(read(ground)) or "unknown" for ground in (here, there))
      return (
        f"{first} and {name} were not {what}: {first}: {a}; {name}: {b}. No"
        " ratio between them is made."
      )
  return f"{first} and {name} stand on no common ground: no ratio is made."


def _how(estimated: bool) -> str:
  return "estimated" if estimated else "measured"


def _numeric(records: Sequence[TrialRecord], framework: str, key: str) -> str:
  facts = [r.numerics for r in records if r.framework == framework]
  words = {_word(fact[key]) for fact in facts if key in fact}
  by_length = sorted(words, key=lambda word: (len(word), word))  # 64 or 512
  return " or ".join(by_length) or "not recorded"


def _word(item: object) -> str:
  return item if isinstance(item, str) else json.dumps(item)
