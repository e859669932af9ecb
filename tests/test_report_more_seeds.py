import dataclasses
import shlex
from typing import Any

import pytest

from jaxpower.cli import run
from jaxpower.records import TrialRecord
from jaxpower.report.compare.more_seeds import more_seeds

RUN = ["python", "scripts/run.py", "--config=configs/batch.py"]


def record(batch: int, seed: int, joules: float | None, **facts: Any) -> Any:
  return TrialRecord(
    trial_id=f"{batch:06x}{seed:06x}",
    config={"batch_size": batch, "seed": seed},
    varied={"batch_size": batch},
    seed=seed,
    framework="jax",
    status="reached",
    target_accuracy=0.8,
    wall_seconds=10.0 * batch,
    joules_by_phase={"train": joules, "eval": 1.0},
    **facts,
  )


RECORDS = [
  record(1, 0, 9.0),
  record(1, 1, 11.0),
  record(2, 0, 39.0),
]


def sweep(*words: str, **config: Any) -> dict[str, Any]:
  facts = {"name": "batch", "seeds": 2} | config
  return {"config": facts, "command_line": [*RUN, *words]}


def test_the_command_runs_the_sweep_with_more_seeds() -> None:
  found = more_seeds(sweep(), RECORDS, 3)
  assert found is not None
  assert found.command == (
    "python scripts/run.py --config=configs/batch.py --config.seeds=5"
    " --out=runs/batch"
  )
  # The means of its settings are 11 and 40 J, 10 and 20 s.
  assert (found.seeds, found.trials) == (5, 6)
  assert found.joules == pytest.approx(3 * (11 + 40))
  assert found.seconds == pytest.approx(3 * (10 + 20))
  assert not found.estimated


@pytest.mark.parametrize(
  ("words", "more"),
  [
    (["--config.seeds=2", "--out=here"], []),
    (["--config.seeds", "2", "--out", "here"], []),
    (["-out=here", "--dry-run", "--retry-failed"], []),
    (
      ["--meter=estimate", "--out=there", "--out=here"],
      ["--meter=estimate"],
    ),
    (
      ["--out=here", "--config.vary.batch_size=(16, 64)"],
      ["--config.vary.batch_size=(16, 64)"],
    ),
  ],
)
def test_what_the_command_asked_for_is_kept(
  words: list[str], more: list[str]
) -> None:
  found = more_seeds(sweep(*words), RECORDS, 6)
  assert found is not None
  given = shlex.split(found.command)
  assert given == [*RUN, *more, "--config.seeds=8", "--out=here"]
  parsed = run.parse(given[1:])
  assert (parsed.sweep.seeds, parsed.out) == (8, "here")


def test_a_folder_that_is_given_is_named() -> None:
  found = more_seeds(sweep("--out=old"), RECORDS, 1, out="my runs/new")
  assert found is not None
  assert found.command.endswith(" '--out=my runs/new'")


def test_settings_of_unknown_cost_are_taken_for_the_others() -> None:
  unknown = dataclasses.replace(
    record(3, 0, None, estimated=True), wall_seconds=None
  )
  failed = dataclasses.replace(record(1, 2, 5.0), joules_by_phase={})
  found = more_seeds(sweep(), [*RECORDS, unknown, failed], 1)
  assert found is not None
  assert found.joules == pytest.approx(3 * (11 + 40) / 2)
  assert found.estimated
  alone = more_seeds(sweep(), [unknown], 1)
  assert alone is not None
  assert (alone.joules, alone.seconds) == (None, None)


def test_a_pretraining_is_run_for_each_seed() -> None:
  source = {"data": "mnist_5k", "seed": 0}
  pretraining = dataclasses.replace(record(1, 0, 99.0), config=source)
  begun = [
    dataclasses.replace(
      record(1, seed, 1.0),
      config={"transfer": {"init_from": source | {"seed": seed}}, "seed": seed},
    )
    for seed in (0, 1)
  ]
  found = more_seeds(sweep(), [pretraining, *begun], 1)
  assert found is not None
  assert (found.trials, found.joules) == (2, pytest.approx(100 + 2))


@pytest.mark.parametrize(
  "facts",
  [
    {},
    {"config": {"seeds": 2}},
    {"config": {"seeds": 2}, "command_line": ["python", "-m", "ipykernel"]},
    {"config": {}, "command_line": RUN},
  ],
)
def test_without_a_command_there_is_none(facts: dict[str, Any]) -> None:
  assert more_seeds(facts, RECORDS, 1) is None


def test_without_a_record_there_is_none() -> None:
  assert more_seeds(sweep(), [], 1) is None
