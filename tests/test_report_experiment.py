"""What a page says of the experiment behind it."""

from dataclasses import replace

from report_records import record, seeds

from jaxpower.config import Model, Optimizer, Trial, to_dict
from jaxpower.report.compare.comparison import compare_all
from jaxpower.report.compare.costs import all_phases
from jaxpower.report.experiment import facts, to_repeat
from jaxpower.wording import energy


def told(trials, sweep=None):
  return facts(compare_all(trials, None, "system", sweep))


def of_trial(trial, **changes):
  return record(trial.batch_size, trial.seed, config=to_dict(trial), **changes)


def test_it_names_what_was_trained():
  trial = Trial(
    data="mnist_5k",
    model=Model(name="vit", width=0.5),
    optimizer=Optimizer(name="lion", learning_rate=2e-3),
    dropout=0.2,
    budget_examples=4_096,
    target_accuracy=0.8,
  )
  said = told([of_trial(trial), of_trial(replace(trial, seed=1))])
  assert said["model"] == "vit"
  assert said["data"] == "mnist_5k"
  assert said["optimizer"] == "lion"
  assert said["target"] == "80 %"
  assert said["budget"].startswith("4,096 examples, evaluated every ")
  assert said["seeds"] == "2, 2 trials"
  assert said["fixed"] == "width 0.5, learning rate 0.002, dropout 0.2"


def test_defaults_and_what_varies_are_not_told_as_fixed():
  trials = [
    of_trial(Trial(batch_size=b, target_accuracy=0.8)) for b in (16, 64)
  ]
  said = told(trials)
  assert "batch" not in said["fixed"]
  assert "dropout" not in said["fixed"]
  assert said["varied"] == "batch (16, 64)"


def test_of_a_command_only_what_it_sees_is_told():
  trial = Trial(
    framework="command",
    command="train {batch_size}",
    command_files={"src/train.py": "0123456789abcdef"},
  )
  said = told([of_trial(trial, framework="command")])
  assert said["model"] == said["optimizer"] == "the command's own"
  assert said["budget"].endswith(
    "examples, evaluated where the command reports"
  )
  assert said["fixed"] == "command train {batch_size}"
  assert said["files"] == "src/train.py 0123456789ab"
  steps = to_repeat(compare_all([of_trial(trial, framework="command")]))
  assert not any("prepare_data" in typed for _, typed in steps)
  named = replace(trial, command="train {model.name} {optimizer.name:>3}")
  said = told([of_trial(named, framework="command")])
  assert (said["model"], said["optimizer"]) == ("cnn", "adam")
  assert "batch" not in said["fixed"].split(",")[0]


def test_the_joules_are_those_of_all_phases_of_all_trials():
  trials = seeds(64, 200, 210)
  whole = sum(all_phases(trial) or 0.0 for trial in trials)
  said = told(trials)["whole sweep"]
  assert said.startswith(f"{energy(whole, estimated=False)}, ")
  unknown = replace(trials[0], joules_by_phase={"train": None})
  said = told([unknown, trials[1]])["whole sweep"]
  assert said.startswith("unknown energy")


def test_the_command_is_the_newest_ones():
  trials = seeds(64, 200, 210)
  assert told(trials)["command"] == ""
  sweep = {"command_line": ["scripts/run.py", "--config=my configs/a.py"]}
  said = told(trials, sweep)["command"]
  assert said == "scripts/run.py '--config=my configs/a.py'"


def test_from_when_to_when():
  first, second = seeds(64, 200, 210)
  first = replace(
    first,
    started_utc="2026-11-26T10:00:07.1Z",
    ended_utc="2026-11-26T10:01:00.0Z",
  )
  second = replace(
    second,
    started_utc="2026-11-26T10:01:01.0Z",
    ended_utc="2026-11-26T11:30:59.9Z",
  )
  said = told([second, first])["run"]
  assert said == "2026-11-26 10:00 to 2026-11-26 11:30 UTC"
  assert told(seeds(64, 200))["run"] == ""


def test_no_trial_no_facts():
  assert told([]) == {}


def test_a_page_says_step_by_step_how_to_repeat_it():
  versions = {"python": "3.11.7", "jaxpower": "0.1.0", "jax": "0.10.2+rocm"}
  facts = {"git_revision": "abc123+", "versions": versions}
  trials = seeds(64, 200, 210, provenance=facts)
  sweep = {"command_line": ["python", "scripts/run.py", "--config=a b.py"]}
  steps = to_repeat(compare_all(trials, None, "system", sweep))
  assert [typed for _, typed in steps] == [
    "git checkout abc123",
    "pip install jax==0.10.2",
    "python scripts/prepare_data.py --data=fashion_mnist_6k",
    "python scripts/run.py '--config=a b.py'",
    "python scripts/report.py THIS_FOLDER YOUR_FOLDER",
  ]
  assert "not committed" in steps[0][0] and "3.11.7" in steps[1][0]
  # What no record knows is no step.
  steps = to_repeat(compare_all(seeds(64, 200)))
  assert [typed.split()[1] for _, typed in steps] == [
    "scripts/prepare_data.py",
    "scripts/report.py",
  ]
  assert to_repeat(compare_all([])) == []
