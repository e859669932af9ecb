"""What do more devices cost, and what do they gain?

Asked of sweeps that vary `devices` (`compare.scaling`).
"""

from collections.abc import Sequence

from jaxpower.report.cells import (
  UNKNOWN,
  estimate,
  has_interval,
  interval,
  name_among,
  number_or_unknown,
  unit_of,
)
from jaxpower.report.compare.comparison import Compared, Comparison
from jaxpower.report.compare.costs import all_known, ran
from jaxpower.report.compare.scaling import (
  BATCH,
  PER,
  Row,
  Step,
  find,
  number_of_devices,
)
from jaxpower.report.findings import Figure, Section, Table
from jaxpower.report.given import Given
from jaxpower.wording import (
  capitalised,
  count,
  energy_name,
  join_names,
  joule_unit,
  number,
  setting,
  whole_percent,
)

PLACE = 28
SIMULATED = "simulated"  # a word in the names of devices that are no devices


def answer(compared: Compared, given: Given) -> tuple[Section, ...]:
  """Answers with one section; with none where all trials are of one device."""
  rows = [row for c in compared.comparisons for row in find(c)]
  if rows:
    return (tell(rows, compared.comparisons),)
  lines = dict.fromkeys(filter(None, map(_share, compared.comparisons)))
  return (Section(title="Devices", lines=tuple(lines)),) if lines else ()


def tell(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> Section:
  """Tells the rows in one table and one figure, with a sentence for each."""
  warnings = dict.fromkeys(
    filter(None, (_simulated(row.comparison) for row in rows))
  )
  return Section(
    title="Devices",
    lead=" ".join(_sentence(row, comparisons) for row in rows),
    warnings=tuple(warnings),
    tables=(_table(rows, comparisons),),
    lines=tuple(dict.fromkeys(filter(None, map(_idle_sentence, rows)))),
    figures=(
      Figure(
        "devices",
        tuple({id(row.comparison): row.comparison for row in rows}.values()),
        "Speed and energy per example over the number of devices, at the same"
        " global batch and at the same batch per device; dashed: as many times"
        " as fast as there are devices.",
      ),
    ),
  )


def row_name(row: Row, comparisons: Sequence[Comparison]) -> str:
  """Names a row: "batch 512 over all devices", "batch 64 per device"."""
  place = name_among(row.comparison, comparisons)
  return ", ".join(filter(None, (place, setting(row.others), row.batch)))


def _table(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> Table:
  steps = [step for row in rows for step in row.steps]
  estimated = any(row.comparison.estimated for row in rows)
  unit = unit_of(step.point.joules for step in steps)
  joules = joule_unit(estimated, unit)
  columns = (
    "the same",
    "devices",
    "batch",
    "per device",
    f"{joules} per {PER} examples",
    f"times the {energy_name(estimated)}",
    "examples per second",
    "speed-up",
    "of its devices",
    f"sending and waiting {joules}",
    f"other GPUs {joules}",
  )
  cells = tuple(
    (
      row_name(row, comparisons),
      str(step.point.devices),
      str(step.point.batch),
      str(step.point.per_device),
      estimate(step.point.joules, unit),
      estimate(step.ratio),
      number_or_unknown(step.point.examples_per_second),
      number_or_unknown(step.speed_up),
      UNKNOWN
      if step.speed_up is None
      else whole_percent(step.speed_up * row.steps[0].point.devices / d) + " %",
      _sent(step, unit.joules),
      number_or_unknown(step.point.idle_joules, unit),
    )
    for row in rows
    for step in row.steps
    for d in [step.point.devices]
  )
  notes = (
    "Batch is examples per update over all devices, per device a device's share"
    " of them. Ratios and speed-ups are over the fewest devices of the row; of"
    " its devices: the speed-up over how many times as many devices there are.",
    f"Sending and waiting: what {PER} examples cost beyond one device with as"
    " large a batch of its own, in brackets where an interval of 95 % leaves"
    " open whether it is anything. Other GPUs: what those of the machine that"
    " the trial did not train on took meanwhile, in no other sum.",
  )
  return Table(columns, cells, notes)


def _sent(step: Step, unit_joules: float) -> str:
  if step.point.devices == 1:
    return "none"
  if step.sent is None:
    return UNKNOWN
  text = number(step.sent / unit_joules)
  return text if step.sent_known else f"({text})"


def _sentence(row: Row, comparisons: Sequence[Comparison]) -> str:
  """Says what the most devices of a row gained and cost."""
  first, last = row.steps[0], row.steps[-1]
  name = row_name(row, comparisons)
  head = f"{capitalised(name)}: {last.point.devices} devices"
  energy = energy_name(row.comparison.estimated)
  speed = (
    "trained at unknown speed"
    if last.speed_up is None
    else f"trained {number(last.speed_up)} times as fast as"
    f" {first.point.devices}"
  )
  if last.ratio is None:
    return f"{head} {speed}, at unknown {energy} per example."
  brackets = f" ({interval(last.ratio)})" if has_interval(last.ratio) else ""
  return (
    f"{head} {speed}, at {number(last.ratio.value)} times{brackets} the"
    f" {energy} per example."
  )


def _share(comparison: Comparison) -> str:
  """Says what each of several devices takes of a batch; empty for one."""
  trials = ran(comparison.records)
  numbers = {number_of_devices(record) for record in trials}
  batches = all_known({record.config.get(BATCH) for record in trials})
  devices = numbers.pop() if len(numbers) == 1 else None
  if devices is None or devices == 1 or not batches:
    return ""
  shares = sorted({batch // devices for batch in batches})
  return (
    f"Batch sizes are over all {devices} devices: each takes"
    f" {join_names(list(map(str, shares)), 'or')} examples of an update."
  )


def _idle_sentence(row: Row) -> str:
  """Says what idle GPUs took beside the fewest devices; empty without any."""
  point = row.steps[0].point
  if not point.idle_joules or point.joules is None:
    return ""
  ratio = point.idle_joules / point.joules.value
  return (
    f"Beside {count(point.devices, 'device')} at batch {point.batch} the other"
    f" GPUs of the machine took {number(ratio)} times what the training did,"
    " doing nothing for it."
  )


def _simulated(comparison: Comparison) -> str:
  """Warns where devices are none of hardware; empty where they are."""
  described = [
    facts
    for record in comparison.records
    for facts in record.provenance.get("devices") or ()
  ]
  if any(SIMULATED in str(facts.get("kind")) for facts in described):
    return (
      "The GPUs are simulated: their joules are those of a made-up power, and"
      " the work was done by a CPU that all of them share."
    )
  if any(facts.get("platform") == "cpu" for facts in described):
    return (
      "The devices are parts of one CPU: they share its cores, so more of them"
      " cannot be faster than one that uses all."
    )
  return ""
