import dataclasses
import io
import pathlib
import time

import pytest
from rich.console import Console

from jaxpower import wording
from jaxpower.cli.outline import outline
from jaxpower.cli.progress import Display
from jaxpower.config import Sweep, Transfer, Trial, to_dict, trial_id
from jaxpower.messages import Progress, Ready
from jaxpower.plan.grid import expand
from jaxpower.plan.growth import Grown
from jaxpower.records import TrialRecord
from jaxpower.sweep import Plan

SWEEP = Sweep(name="batch", vary={"batch_size": (64, 256)}, seeds=1)
TRIALS = tuple(expand(SWEEP))
READY = Ready(
  platform="cpu",
  device_kind="cpu",
  devices=1,
  meter={
    "estimated": True,
    "domains": [
      {
        "description": "CPU modelled from CPU time",
        "estimated": True,
        "counted": True,
      }
    ],
  },
  warnings=("persistence mode is off",),
)
RECORD = TrialRecord(
  trial_id=trial_id(TRIALS[0]),
  config=to_dict(TRIALS[0]),
  varied={"batch_size": TRIALS[0].batch_size},
  seed=0,
  framework="jax",
  status="reached",
  target_accuracy=0.8,
  final_accuracy=0.812,
  train_joules=1843.4,
  train_seconds=4.1,
  wall_seconds=120.0,
)


def plan(*recorded: TrialRecord) -> Plan:
  return Plan(
    SWEEP,
    pathlib.Path("runs/batch"),
    TRIALS,
    Grown(SWEEP),
    {record.trial_id: record for record in recorded},
  )


def test_a_pretraining_and_lost_weights_are_told() -> None:
  pretraining = Trial(data="mnist_5k")
  asked = Sweep(
    name="transfer",
    data="digits_28",
    vary={"transfer": (Transfer(init_from=pretraining, freeze=True),)},
    seeds=1,
  )
  name, why = trial_id(pretraining), "checkpoints/d/3 is damaged"
  todo = Plan(
    asked,
    pathlib.Path("runs/transfer"),
    (pretraining, *expand(asked)),
    Grown(asked),
    {name: dataclasses.replace(RECORD, trial_id=name)},
    pretrainings=frozenset({name}),
    unusable={name: why},
  )
  assert todo.left == todo.trials
  lines = outline(todo).splitlines()
  assert lines[1] == f"   1  {name}  to run    pretraining mnist_5k, seed 0"
  assert lines[2].endswith("to run    start frozen, seed 0")
  assert lines[3] == f"{why}; that trial is run again"
  text = io.StringIO()
  with Display(todo, Console(file=text, width=60)) as display:
    display.greet(READY, todo)
    display.watch(1, pretraining, RECORD)
  shown = text.getvalue()
  assert f"warning: {why}; that trial is run again\n" in shown
  assert "trial  1 of 2   pretraining mnist_5k, seed 0   reached" in shown


def test_without_a_terminal_a_trial_is_a_line() -> None:
  text = io.StringIO()
  with Display(plan(), Console(file=text, width=60)) as display:
    display.greet(READY, plan())
    display.watch(1, TRIALS[0], Progress(phase="train", accuracy=0.5))
    display.watch(1, TRIALS[0], RECORD)
  batch = TRIALS[0].batch_size
  assert text.getvalue().splitlines() == [
    "training on 1 x cpu; metering CPU modelled from CPU time (estimated)",
    "warning: persistence mode is off",
    f"trial  1 of 2   batch {batch}, seed 0   reached 81.2 %"
    "   1.84 kJ estimated   4.10 s of training",
  ]


def test_the_devices_that_trials_leave_alone_are_told() -> None:
  text = io.StringIO()
  domains = [
    *(f"H100, index {n}, PCI 0000:0{n}:00.0" for n in range(8)),
    "CPU package 0",
  ]
  ready = dataclasses.replace(
    READY,
    platform="gpu",
    device_kind="H100",
    devices=8,
    meter={
      "estimated": False,
      "domains": [
        {"description": name, "estimated": False, "counted": True}
        for name in domains
      ],
    },
  )
  with Display(plan(), Console(file=text, width=60)) as display:
    display.greet(ready, plan())
  assert text.getvalue().startswith(
    "training on 1 of 8 x H100; metering 8 x H100, CPU package 0; of the GPUs"
    " those that a trial trains on\n"
  )


def test_on_a_terminal_the_running_trial_is_live() -> None:
  text = io.StringIO()
  console = Console(
    file=text, width=120, force_terminal=True, color_system=None
  )
  with Display(plan(RECORD), console) as display:
    display.watch(
      2, TRIALS[1], Progress(phase="train", accuracy=0.71, joules=1843.4)
    )
    display._surface.refresh(at_once=True)
  shown = text.getvalue()
  assert f"trial  2 of 2   batch {TRIALS[1].batch_size}, seed 0" in shown
  assert "accuracy 71 %" in shown
  assert "1.84 kJ" in shown
  assert "1 of 2   2 min left" in shown


@pytest.mark.parametrize(
  ("change", "ending"),
  [
    ({"status": "missed"}, "missed 81.2 %   1.84 kJ   4.10 s of training"),
    ({"train_joules": None}, "joules unknown"),
    (
      {"status": "failed", "error": "the worker died with signal 9 (SIGKILL)"},
      "failed: the worker died with signal 9 (SIGKILL)",
    ),
  ],
)
def test_every_ending_is_told(change: dict, ending: str) -> None:
  text = io.StringIO()
  with Display(plan(), Console(file=text)) as display:
    display.watch(1, TRIALS[0], dataclasses.replace(RECORD, **change))
  assert ending in text.getvalue()


@pytest.mark.parametrize(
  ("seconds", "told"),
  [
    (0.4, "0 s"),
    (89, "89 s"),
    (90, "2 min"),
    (3600, "60 min"),
    (9000, "2.5 h"),
  ],
)
def test_durations(seconds: float, told: str) -> None:
  assert wording.duration(seconds) == told


def test_the_outline_tells_what_is_left() -> None:
  assert outline(plan(RECORD)).splitlines() == [
    "2 trials in runs/batch: 1 recorded, 1 to run; expected: 2 min, joules"
    " unknown (1 of them judged by their neighbours)",
    f"   1  {trial_id(TRIALS[0])}  reached   batch {TRIALS[0].batch_size},"
    " seed 0",
    f"   2  {trial_id(TRIALS[1])}  to run    batch {TRIALS[1].batch_size},"
    " seed 0",
  ]


def test_trials_beyond_the_sweep_are_told() -> None:
  other = dataclasses.replace(RECORD, trial_id="0123456789ab")
  first, *_ = outline(plan(RECORD, other)).splitlines()
  assert first == (
    "2 trials in runs/batch: 1 recorded, 1 to run, 1 more recorded beyond them;"
    " expected: 2 min, joules unknown (1 of them judged by their neighbours)"
  )


def test_a_message_costs_little_at_any_number_of_trials() -> None:
  rates = tuple(1e-5 * step for step in range(1, 2_001))
  many = Sweep(name="many", vary={"optimizer.learning_rate": rates}, seeds=1)
  trials = tuple(expand(many))
  todo = Plan(many, pathlib.Path("runs/many"), trials, Grown(many), {})
  console = Console(file=io.StringIO(), force_terminal=True, width=120)
  display = Display(todo, console)
  news = Progress(phase="train", accuracy=0.5, joules=3.0)
  display.watch(7, trials[6], news)  # the first names the trial
  began = time.process_time()
  for _ in range(100):
    display.watch(7, trials[6], news)
  assert (time.process_time() - began) / 100 < 1e-3  # seconds, issue 14


def test_what_this_machine_cannot_run_takes_no_time() -> None:
  text = io.StringIO()
  console = Console(
    file=text, width=120, force_terminal=True, color_system=None
  )
  seeds = dataclasses.replace(SWEEP, seeds=3)
  trials = tuple(expand(seeds))
  planned = dataclasses.replace(plan(RECORD), sweep=seeds, trials=trials)
  unfit = frozenset(trial_id(t) for t in planned.left if t.batch_size != 64)
  with Display(planned, console) as display:
    running = next(t for t in planned.left if trial_id(t) not in unfit)
    display.greet(READY, dataclasses.replace(planned, unfit=unfit))
    news = Progress(phase="train", accuracy=0.1)
    display.watch(planned.numbers[trial_id(running)], running, news)
    display._surface.refresh(at_once=True)
  assert RECORD.varied == {"batch_size": 64} and len(unfit) == 3
  # The other setting would be set up and compiled first: 4 minutes.
  assert "1 of 3   2 min left" in text.getvalue()


def test_trials_at_once_are_a_line_each() -> None:
  text = io.StringIO()
  console = Console(
    file=text, width=120, force_terminal=True, color_system=None
  )
  with Display(plan(), console) as display:
    for number, trial in enumerate(TRIALS, start=1):
      news = Progress(phase="train", accuracy=0.1 * number)
      display.watch(number, trial, news)
    display._surface.refresh(at_once=True)
    both = text.getvalue()
    display.watch(1, TRIALS[0], RECORD)
    display.watch(2, TRIALS[1], Progress(phase="eval", accuracy=0.9))
    display._surface.refresh(at_once=True)
  last = both[both.rindex("trial  1 of 2") :]
  assert "accuracy 10 %" in last and "trial  2 of 2" in last
  after = text.getvalue()[len(both) :]
  assert "accuracy 10 %" not in after[after.rindex("accuracy 90 %") :]
