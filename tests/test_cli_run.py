import pathlib
import subprocess
import sys

import pytest

from jaxpower.cli import run
from jaxpower.config import get

ROOT = pathlib.Path(__file__).parent.parent
BATCH = "configs/batch.py"
TRANSFER = "configs/transfer.py"
MULTITASK = "configs/multitask.py"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.chdir(ROOT)
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")


def call(*words: str) -> int:
  return run.main(["run.py", *words], "How to call it.")


def config(tmp_path: pathlib.Path, body: str) -> str:
  path = tmp_path / "mine.py"
  path.write_text(body)
  return f"--config={path}"


@pytest.mark.parametrize(
  ("words", "line"),
  [
    ([], "no config; write --config=configs/batch.py (see --help)"),
    ([BATCH], f"no config; write --config={BATCH} (see --help)"),
    (
      ["--config=configs/bach.py"],
      "config file 'configs/bach.py' is not there; did you mean"
      " configs/batch.py?",
    ),
    (
      [f"--config={BATCH}:modle=cnn"],
      "unknown config argument 'modle'; did you mean model?",
    ),
    ([f"--config={BATCH}:model=cn"], "unknown model 'cn'; did you mean cnn?"),
    (
      [f"--config={BATCH}", "--config.seed=5"],
      "unknown config field 'seed'; did you mean seeds?",
    ),
    (
      [f"--config={BATCH}", "--config.optimizer.lr=0.1"],
      "unknown config field 'optimizer.lr'; did you mean"
      " optimizer.learning_rate?",
    ),
    (
      [f"--config={BATCH}", f"--config={BATCH}:quick"],
      f"2 experiments are named, {BATCH} and {BATCH}:quick; a run is of one",
    ),
    (
      [f"--config={BATCH}", "--probe"],
      "--probe: only with --dry-run",
    ),
    (
      [f"--config={BATCH}", "--config.seeds=many"],
      "--config.seeds=many: must be an int",
    ),
    (
      [f"--config={BATCH}", "--parallel=two"],
      "parallel two: not a number from 1, nor auto",
    ),
    (
      [f"--config={BATCH}", "--gpus=2"],
      "--gpus: only with --launcher",
    ),
    (
      [f"--config={BATCH}", "--launcher=local", "--parallel=2"],
      "--parallel 2: a launcher runs its tasks at once: write --at-once=N",
    ),
    (
      [f"--config={BATCH}", "--launcher=local", "--sbatch=account"],
      "sbatch account: write NAME=VALUE",
    ),
    (
      [f"--config={BATCH}", "--only=13"],
      "--only 13: there are 12 trials (--dry-run lists them)",
    ),
    (
      [f"--config={BATCH}", "--config.target_accuracy=1.2"],
      "target_accuracy 1.2: must lie between 0 and 1 (0.8 means 80 %)",
    ),
    (
      [f"--config={BATCH}", "--config.vary.batch_size=(16,9000)"],
      "batch_size 9000: larger than the training set of fashion_mnist_6k"
      " without its validation set (5400 examples)",
    ),
    (
      [f"--config={BATCH}", "--config.batch_size=64"],
      "this config varies batch_size; write --config.vary.batch_size='(...)' to"
      " change its values",
    ),
    (
      [f"--config={BATCH}", "--config.model=resnet18"],
      "config field model has parts: write --config.model.name=...",
    ),
    (
      [f"--config={BATCH}", "--metre=nvml"],
      "Unknown command line flag 'metre'. Did you mean: meter ?",
    ),
    (
      [f"--config={BATCH}", "--meter=volts"],
      "flag --meter=volts: value should be one of <auto|nvml|rapl|estimate>",
    ),
    (
      [f"--config={TRANSFER}", "--config.transfer.freeze=true"],
      "this config varies transfer; write --config.vary.transfer='(...)' to"
      " change its values",
    ),
    (
      [f"--config={BATCH}", "--config.transfer.init_from=mnist_5k"],
      "transfer.init_from is a Trial; give it in a config file",
    ),
    (
      [f"--config={BATCH}", "--config.transfer.freeze=true"],
      "transfer.freeze: without init_from or weights the backbone would stay"
      " random; give one of them",
    ),
    (
      [f"--config={BATCH}", "--config.transfer.weights=nowhere"],
      "transfer.weights: nowhere is not there",
    ),
    (
      [f"--config={TRANSFER}:source=imu"],
      "transfer.init_from.data imu: its inputs are window 100 x 6, those of"
      " digits_28 are image 28 x 28 x 1; a backbone takes inputs of one form",
    ),
    (
      [f"--config={TRANSFER}:pair=novel"],
      "unknown pair 'novel'; did you mean novels?",
    ),
    (
      [f"--config={BATCH}", "--config.targets=0.9"],
      "config field targets is a dict; set its entries in the config file",
    ),
    (
      [f"--config={BATCH}", "--config.tasks=('lable',)"],
      "unknown task of fashion_mnist_6k 'lable'; did you mean label?",
    ),
    ([f"--config={BATCH}", "x"], "'x': flags are written --name=value"),
    (
      [f"--config={BATCH}", "--config.vary.batch_size=(16,"],
      "--config.vary.batch_size=(16,: must be a tuple of int",
    ),
    (
      [f"--config={MULTITASK}", "--config.targets.label=high"],
      "--config.targets.label=high: must be a float",
    ),
    (
      [f"--config={BATCH}", "--config.stop_at_target=perhaps"],
      "--config.stop_at_target=perhaps: must be a bool",
    ),
    (
      [f"--config={BATCH}", "--noconfig.stop_at_target=1"],
      "--noconfig.stop_at_target=1 does not take an argument",
    ),
    (
      [f"--config={BATCH}", "--noconfig.sed"],
      "unknown config field 'sed'; did you mean seeds?",
    ),
  ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
  words: list[str],
  line: str,
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
) -> None:
  folder = tmp_path / "run"
  assert call(*words, f"--out={folder}") == 2
  shown = capsys.readouterr()
  assert (shown.out, shown.err) == ("", f"error: {line}\n")
  assert not folder.exists()


@pytest.mark.parametrize(
  ("body", "line"),
  [
    ("x = 1\n", "defines no get_config(arguments)"),
    ("def get_config(text):\n  return 1\n", "must return a jaxpower.Sweep"),
    ("a = 1\ndef get_config(:\n", "line 2: SyntaxError"),
    (
      "def get_config(text):\n  return nothing\n",
      "line 2: NameError: name 'nothing' is not defined",
    ),
  ],
)
def test_a_broken_config_file_is_named(
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
  body: str,
  line: str,
) -> None:
  assert call(config(tmp_path, body)) == 2
  shown = capsys.readouterr()
  assert line in shown.err
  assert shown.err.count("\n") == 1
  assert "mine.py" in shown.err


def test_overrides_are_typed() -> None:
  asked = run.parse(
    [
      "run.py",
      f"--config={BATCH}:model=resnet18",
      "--config.seeds=5",
      "--config.target_accuracy=0.85",
      "--config.optimizer.learning_rate=1",
      "--config.vary.batch_size=(32,64)",
      "--meter=estimate",
    ]
  )
  assert (asked.sweep.seeds, asked.sweep.target_accuracy) == (5, 0.85)
  assert asked.sweep.model.name == "resnet18"
  assert asked.sweep.optimizer.learning_rate == 1.0
  assert asked.sweep.vary == {"batch_size": (32, 64)}
  assert (asked.meter, asked.dry_run, asked.out) == ("estimate", False, None)


@pytest.mark.parametrize(
  ("words", "path", "value"),
  [
    (["--config.seeds", "5"], "seeds", 5),
    (["-config.seeds=0x10"], "seeds", 16),
    (["--config.seeds=4", "--config.seeds=5"], "seeds", 5),
    (["--noconfig.stop_at_target"], "stop_at_target", False),
    (["--config.stop_at_target=F"], "stop_at_target", False),
    (["--config.stop_at_target"], "stop_at_target", True),
    (["--config.tasks=label"], "tasks", ("label",)),
    (["--config.tasks=a", "--config.tasks=b"], "tasks", ("a", "b")),
    (["--config.tasks=('a', 'b')"], "tasks", ("a", "b")),
    (["--config.vary.batch_size=16,32"], "vary.batch_size", (16, 32)),
    (["--config.vary.batch_size=[16, 32]"], "vary.batch_size", (16, 32)),
    (["--config.vary.batch_size=16"], "vary.batch_size", (16,)),
    (["--config.data=mnist_5k+digits_28"], "data", "mnist_5k+digits_28"),
  ],
)
def test_an_override_may_be_written_in_many_ways(
  words: list[str], path: str, value: object
) -> None:
  given = run.parse(["run.py", f"--config={BATCH}", *words])
  assert get(given.sweep, path) == value
  # The config file is found wherever it stands.
  given = run.parse(["run.py", *words, f"--config={BATCH}"])
  assert get(given.sweep, path) == value


def test_values_of_a_deeper_field_that_varies_can_be_overridden() -> None:
  path = "vary.optimizer.learning_rate"
  words = ["--config=configs/learning_rate.py", f"--config.{path}=(0.1, 0.2)"]
  given = run.parse(["run.py", *words])
  assert get(given.sweep, path) == (0.1, 0.2)


def test_a_file_of_flags_is_read(tmp_path: pathlib.Path) -> None:
  file = tmp_path / "flags"
  file.write_text(f"--config={BATCH}\n--config.seeds=5\n--out=here\n")
  given = run.parse(["run.py", f"--flagfile={file}", "--meter=estimate"])
  assert (given.sweep.seeds, given.out, given.meter) == (5, "here", "estimate")


def test_a_pretraining_can_be_overridden(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  body = (
    "from jaxpower import Sweep, Transfer, Trial\n"
    "def get_config(text):\n"
    "  return Sweep(transfer=Transfer(init_from=Trial()))\n"
  )
  given = config(tmp_path, body)
  field = "--config.transfer.init_from.batch_size"
  asked = run.parse(["run.py", given, f"{field}=64"])
  assert asked.sweep.transfer.init_from is not None
  assert asked.sweep.transfer.init_from.batch_size == 64
  assert asked.sweep.batch_size == 128
  assert call(given, f"{field}=many") == 2
  assert capsys.readouterr().err == f"error: {field}=many: must be an int\n"
  seed = "transfer.init_from.seed"
  assert call(given, f"--config.{seed}=3") == 2
  assert capsys.readouterr().err == (
    f"error: {seed}: a pretraining has the seed of its trial\n"
  )


def test_help_is_short(capsys: pytest.CaptureFixture[str]) -> None:
  assert call("--help") == 0
  assert capsys.readouterr().out == "How to call it.\n"


def test_a_dry_run_trains_nothing(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  folder = tmp_path / "run"
  assert call(f"--config={BATCH}", f"--out={folder}", "--dry-run") == 0
  first, *trials = capsys.readouterr().out.splitlines()
  assert first == (
    f"12 trials in {folder}: 0 recorded, 12 to run; expected time and joules:"
    " unknown until a trial is recorded (--probe runs a short one now)"
  )
  assert len(trials) == 12
  assert not folder.exists()


def test_the_main_job_from_the_shell(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.delenv("XLA_FLAGS", raising=False)  # as a user runs it
  folder = tmp_path / "run"
  command = [
    sys.executable,
    "scripts/run.py",
    f"--config={BATCH}:quick",
    f"--out={folder}",
  ]
  done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
  assert done.returncode == 0, done.stderr
  assert "of training" in done.stderr
  assert "estimated joules to" in done.stdout
  assert "cheapest" in done.stdout or "cannot be told apart" in done.stdout
  for name in (
    "sweep.json",
    "trials.csv",
    "summary.csv",
    "cost.pdf",
    "energy_accuracy.png",
    "energy_accuracy.svg",
  ):
    assert (folder / name).stat().st_size > 0, name
  recorded = {p: p.read_bytes() for p in (folder / "records").iterdir()}
  assert recorded
  again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
  assert again.returncode == 0, again.stderr
  assert again.stdout == done.stdout
  assert {p: p.read_bytes() for p in (folder / "records").iterdir()} == recorded
