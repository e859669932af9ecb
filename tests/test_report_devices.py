"""What more devices cost and gain, told of records of known numbers."""

import dataclasses
from typing import Any

import pytest
from report_records import devices, record

from jaxpower.records import TrialRecord
from jaxpower.report.compare.comparison import compare, compare_all
from jaxpower.report.compare.scaling import find
from jaxpower.report.given import Given
from jaxpower.report.questions import devices as question
from jaxpower.report.render import figures

UUIDS = tuple(f"GPU-0000000{i}-0000-0000-0000-000000000000" for i in range(8))
EXAMPLES = 10_000


def trial(
  number: int, batch: int, seed: int = 0, **changes: Any
) -> TrialRecord:
  """A trial whose example costs 1 J on each device and 0.1 J to send.

  More devices are as many times as fast, but for 0.1 s per 1000 examples.
  """
  per_example = 1.0 + 0.1 * (number - 1) + 8 / (batch / number)
  per_example *= 1 + 0.001 * seed
  joules = per_example * EXAMPLES
  idle = dict.fromkeys(UUIDS[number:], 50.0)
  base = record(
    batch,
    seed,
    joules,
    varied={"devices": number, "batch_size": batch},
    config={"data": "digits", "batch_size": batch, "devices": number},
    provenance=devices(*UUIDS[:number]),
    joules_by_domain=dict.fromkeys(UUIDS[:number], joules / number),
    apart_joules_by_phase={"train": idle},
  )
  return dataclasses.replace(
    base,
    examples=EXAMPLES,
    train_seconds=10 / number + 1,
    **changes,
  )


def grid(seeds: int = 2) -> list[TrialRecord]:
  return [
    trial(number, batch, seed)
    for number in (1, 2, 4, 8)
    for batch in (64, 128, 256, 512)
    for seed in range(seeds)
  ]


def test_both_rows_and_what_sending_costs() -> None:
  (comparison,) = compare(grid())
  same_batch, same_share = find(comparison)
  assert (same_batch.same, same_batch.size) == ("global", 512)
  assert (same_share.same, same_share.size) == ("device", 64)
  for row in (same_batch, same_share):
    points = [step.point for step in row.steps]
    assert [point.devices for point in points] == [1, 2, 4, 8]
  assert [s.point.batch for s in same_share.steps] == [64, 128, 256, 512]
  assert [s.point.per_device for s in same_batch.steps] == [512, 256, 128, 64]
  last = same_share.steps[-1]
  assert last.speed_up == pytest.approx(11 / 2.25)
  assert last.point.joules is not None and last.ratio is not None
  typical = (1.7 + 8 / 64) * 1.0005
  assert last.point.joules.value == pytest.approx(1000 * typical, rel=1e-3)
  assert last.ratio.value == pytest.approx(1.825 / 1.125, rel=1e-3)
  # 0.7 J an example, whichever row it stands in.
  for row in (same_batch, same_share):
    assert row.steps[-1].sent == pytest.approx(700, rel=1e-2)
    assert row.steps[-1].sent_known
    assert row.steps[0].sent == 0 or row is same_share
  # Seven other GPUs of 50 J beside one device, none beside eight.
  assert same_share.steps[0].point.idle_joules == pytest.approx(35)
  assert last.point.idle_joules == 0


def test_the_section_tells_both_batches() -> None:
  compared = compare_all(grid())
  (section,) = question.answer(compared, Given())
  (table,) = section.tables
  assert len(table.rows) == 8
  assert table.columns[1:4] == ("devices", "batch", "per device")
  assert section.lead.startswith(
    "Batch 512 over all devices: 8 devices trained 4.89 times as fast as 1, at"
  )
  assert "Batch 64 per device: 8 devices trained 4.89 times" in section.lead
  assert table.rows[3][1:4] == ("8", "512", "64")
  assert table.rows[-1][7:9] == ("4.89", "61 %")
  assert section.lines[0].startswith(
    "Beside 1 device at batch 512 the other GPUs of the machine took 0.03"
  )
  assert section.warnings == ()
  (figure,) = section.figures
  drawn = figures.draw(figure)
  assert drawn.files.keys() >= {"png", "svg"} and all(drawn.files.values())


def test_unknown_is_said_and_one_number_of_devices_is_no_question() -> None:
  blind = [
    dataclasses.replace(
      r, train_joules=None, joules_to_accuracy=None, apart_joules_by_phase=None
    )
    for r in grid(1)
  ]
  (section,) = question.answer(compare_all(blind), Given())
  assert "at unknown energy per example" in section.lead
  assert {row[4] for row in section.tables[0].rows} == {"unknown"}
  assert {row[-1] for row in section.tables[0].rows} == {"unknown"}
  one = [r for r in grid(1) if r.varied["devices"] == 1]
  assert question.answer(compare_all(one), Given()) == ()


def test_each_device_s_share_is_said_where_all_trials_have_as_many() -> None:
  four = [
    dataclasses.replace(r, varied={"batch_size": r.varied["batch_size"]})
    for r in grid(1)
    if r.varied["devices"] == 4 and r.varied["batch_size"] < 256
  ]
  (section,) = question.answer(compare_all(four), Given())
  assert section.lines == (
    "Batch sizes are over all 4 devices: each takes 16 or 32 examples of an"
    " update.",
  )
  assert section.lead == "" and section.tables == ()


def test_what_is_no_hardware_is_said() -> None:
  simulated = [
    dataclasses.replace(
      r,
      provenance=devices(
        *UUIDS[: r.varied["devices"]], kind="simulated NVIDIA H100"
      ),
    )
    for r in grid(1)
  ]
  (section,) = question.answer(compare_all(simulated), Given())
  assert section.warnings[0].startswith("The GPUs are simulated")
