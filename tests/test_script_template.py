"""From the text of a command to its words, and what is refused before."""

import os
import pathlib
import sys

import pytest

from jaxpower.config import ConfigError, Optimizer, Sweep, Trial, trial_id
from jaxpower.plan.grid import expand
from jaxpower.script import template

SCRIPT = "python train.py --seed {seed}"


@pytest.fixture(autouse=True)
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  (tmp_path / "train.py").write_text("print(1)")
  (tmp_path / "mnist").mkdir()
  monkeypatch.chdir(tmp_path)


def test_python_is_the_sweeps_own_unless_an_environment_is_active(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(sys, "prefix", "/own")
  monkeypatch.setattr(sys, "executable", "/own/bin/python")
  monkeypatch.setattr(sys, "base_prefix", "/usr")
  assert template.search_path({"PATH": "/usr/bin"}) == "/own/bin:/usr/bin"
  for active in ("VIRTUAL_ENV", "CONDA_PREFIX"):
    variables = {"PATH": "/usr/bin", active: "/mine"}
    assert template.search_path(variables) == "/usr/bin"
  monkeypatch.setattr(sys, "base_prefix", "/own")
  assert template.search_path({"PATH": "/usr/bin"}) == "/usr/bin"


def test_a_program_beside_the_sweeps_python_is_found(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  program = tmp_path / "train-it"
  program.write_text("#!/bin/sh\n")
  program.chmod(0o755)
  for active in template.ACTIVE:
    monkeypatch.delenv(active, raising=False)
  monkeypatch.setattr(sys, "prefix", str(tmp_path))
  with pytest.raises(ConfigError, match="no program"):
    template.check(trial("train-it"), pathlib.Path.cwd())
  monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
  template.check(trial("train-it"), pathlib.Path.cwd())


def trial(command: str, **fields: object) -> Trial:
  made = Trial(framework="command", command=command, **fields)  # pyright: ignore
  return made


def words(command: str, **fields: object) -> list[str]:
  return template.words_of(trial(command, **fields), "/own", pathlib.Path.cwd())


def test_fields_are_put_into_words_and_no_shell_reads_them() -> None:
  here = pathlib.Path.cwd()
  made = words(
    "python train.py --lr {optimizer.learning_rate:.0e} --batch={batch_size}"
    " --name {options.name} --data=./mnist --set mnist 'a b' {{x}}"
    " {here}/y {folder} {tasks} {options.deep}",
    options={"name": "a b; rm -rf $HOME", "deep": True},
    optimizer=Optimizer(learning_rate=0.001),
    batch_size=32,
    tasks=("a", "b"),
  )
  assert made == [
    *("python", f"{here}/train.py", "--lr", "1e-03", "--batch=32"),
    *("--name", "a b; rm -rf $HOME", f"--data={here}/mnist"),
    *("--set", "mnist", "a b", "{x}"),
    *(f"{here}/y", "/own", "a,b", "True"),
  ]


@pytest.mark.parametrize(
  ("command", "reason"),
  [
    ("", "framework command needs one"),
    ("python 'train.py", "no closing quotation"),
    ("python train.py {batchsize}", "did you mean batch_size?"),
    ("python train.py {options.width}", "a name of your own is an entry of"),
    ("python train.py {optimizer}", "has parts; name one, as {optimizer."),
    ("python train.py {seed", "a brace that is no field is written twice"),
    ("python train.py {seed:.q}", "{seed:.q}"),
    ("pyhton train.py", "no program 'pyhton' is found"),
    ("python trian.py", "there is no file trian.py; did you mean train.py?"),
  ],
)
def test_what_cannot_be_started_is_one_line(command: str, reason: str) -> None:
  sweep = Sweep(framework="command", command=command)
  with pytest.raises(ConfigError) as refused:
    expand(sweep)
  assert reason in str(refused.value)
  assert "\n" not in str(refused.value)


def test_a_field_that_changes_nothing_is_not_varied() -> None:
  sweep = Sweep(
    framework="command", command=SCRIPT, vary={"batch_size": (1, 2)}
  )
  with pytest.raises(ConfigError, match=r"does not name \{batch_size\}"):
    expand(sweep)
  sweep.command = f"{SCRIPT} {{batch_siz}}"
  with pytest.raises(ConfigError, match=r"it names \{batch_siz\}, which is no"):
    expand(sweep)
  sweep.command = SCRIPT
  # What the sweep itself looks at needs no name.
  sweep.vary = {"target_accuracy": (0.5, 0.6)}
  assert len(expand(sweep)) == 6


def test_options_are_varied_and_an_edited_script_is_another_trial() -> None:
  sweep = Sweep(
    framework="command",
    command=f"{SCRIPT} {{options.width}}",
    vary={"options.width": (64, 128)},
    seeds=1,
  )
  before = expand(sweep)
  assert sorted(t.options["width"] for t in before) == [64, 128]
  assert before[0].data == "own data"
  assert [*before[0].command_files] == ["train.py"]
  again = expand(sweep)
  assert list(map(trial_id, before)) == list(map(trial_id, again))
  pathlib.Path("train.py").write_text("print(2)")
  os.utime("train.py", ns=(1, 1))
  edited = expand(sweep)
  assert not set(map(trial_id, before)) & set(map(trial_id, edited))


def test_files_of_a_seed_make_no_other_setting() -> None:
  for seed in range(2):
    pathlib.Path(f"split{seed}.csv").write_text(str(seed))
  sweep = Sweep(framework="command", command=f"{SCRIPT} split{{seed}}.csv")
  assert {tuple(t.command_files) for t in expand(sweep)} == {("train.py",)}


def test_trials_without_a_command_keep_their_id() -> None:
  facts = Trial(options={}, command="", metrics=())
  assert trial_id(facts) == trial_id(Trial())
