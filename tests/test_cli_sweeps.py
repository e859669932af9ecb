"""`jaxpower run|report|experiments|prepare`, as `python -m jaxpower` has it."""

import pathlib
import runpy

import pytest

import jaxpower
from jaxpower.cli import experiments, run, sweeps
from jaxpower.cli.main import main
from jaxpower.config import ConfigError

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))


def test_every_config_is_an_experiment_with_claim_and_cost() -> None:
  assert experiments.names() == CONFIGS
  for name in CONFIGS:
    experiment = experiments.read(name)
    assert experiment.title.endswith("."), name
    assert experiment.claim and experiment.cost, name
    assert "\n" not in experiment.claim + experiment.cost


def test_experiments_are_listed_with_commands_that_exist(
  capsys: pytest.CaptureFixture[str],
) -> None:
  assert main(["experiments"]) == 0
  out = capsys.readouterr().out
  assert "batch\n  Energy to accuracy over batch sizes.\n  claim: on the" in out
  commands = [
    line.split()[-1] for line in out.splitlines() if "jaxpower run" in line
  ]
  assert {command.partition(":")[0] for command in commands} == set(CONFIGS)
  assert "batch:data=cifar10,model=resnet18" in commands
  prose = [line for line in out.splitlines() if "jaxpower run" not in line]
  assert max(map(len, prose)) <= 79


@pytest.mark.parametrize(
  ("text", "config"),
  [
    ("batch", "{}/batch.py"),
    ("batch:quick,data=a/b", "{}/batch.py:quick,data=a/b"),
    ("mine.py:quick", "mine.py:quick"),
    ("configs/batch.py", "configs/batch.py"),
  ],
)
def test_a_config_is_named_by_its_experiment_or_its_file(
  text: str, config: str
) -> None:
  assert experiments.config_of(text) == config.format(experiments.FOLDER)


@pytest.mark.parametrize(
  ("words", "found"),
  [
    (["batch:quick", "--out=a"], (0, "batch:quick")),
    (["--meter=estimate", "batch"], (1, "batch")),
    (["--out", "a", "batch", "--dry-run"], (2, "batch")),
    (["--dry-run", "mine.py:quick"], (1, "mine.py:quick")),
    (["--config=a.py", "x"], None),
    (["-config", "a.py"], None),
    (["--dry-run"], None),
  ],
)
def test_an_experiment_is_named_anywhere_among_flags(
  words: list[str], found: tuple[int, str] | None
) -> None:
  assert sweeps._place_of_name(words) == found


def test_a_wrong_name_proposes_the_nearest(
  capsys: pytest.CaptureFixture[str],
) -> None:
  with pytest.raises(ConfigError, match="did you mean batch"):
    experiments.config_of("bach:quick")
  for words, line in (
    (
      ["run", "lerning_rate"],
      "jaxpower run: unknown experiment 'lerning_rate'; did you mean"
      " learning_rate? (or a file: FILE.py)\n",
    ),
    (
      ["experiments", "batch"],
      "jaxpower experiments: takes no argument, not 'batch'\n",
    ),
  ):
    assert main(words, "jaxpower") == 2
    assert capsys.readouterr() == ("", line)


def test_a_run_is_that_of_the_script(
  capsys: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
  tmp_path: pathlib.Path,
) -> None:
  monkeypatch.chdir(tmp_path)
  assert main(["run", "batch:quick", "--dry-run", "--config.seeds=2"]) == 0
  ours = capsys.readouterr().out
  config = f"--config={ROOT / 'configs' / 'batch.py'}:quick"
  assert run.main(["run", config, "--dry-run", "--config.seeds=2"], "") == 0
  assert capsys.readouterr().out == ours != ""
  assert list(tmp_path.iterdir()) == []


def test_help_names_the_command_that_was_typed(
  capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
  assert main(["run", "--help"], "jaxpower") == 0
  assert "\n  jaxpower run --config=" in capsys.readouterr().out
  monkeypatch.setattr("sys.argv", ["scripts/run.py", "--help"])
  with pytest.raises(SystemExit):
    runpy.run_path(str(ROOT / "scripts" / "run.py"), run_name="__main__")
  told = capsys.readouterr().out
  assert "\n  python scripts/run.py --config=" in told
  with pytest.raises(SystemExit):
    main(["--help"], "jaxpower")
  listed = capsys.readouterr().out
  for command in sweeps.COMMANDS:
    assert f"\n    {command} " in listed


def test_without_its_packages_a_command_says_what_to_install(
  capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(sweeps, "_installed", lambda module: module != "jax")
  assert main(["run", "batch"], "jaxpower") == 2
  assert capsys.readouterr().err == (
    "jaxpower run: needs jax; run pip install 'jaxpower[train]'\n"
  )
  assert main(["experiments"]) == 0


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
  with pytest.raises(SystemExit) as ended:
    main(["--version"])
  assert ended.value.code == 0
  assert capsys.readouterr().out == f"jaxpower {jaxpower.__version__}\n"
