"""`python -m jaxpower`: as a person and as a script would use it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jaxpower.cli.main import main
from jaxpower.power.simulated_nvml import UUIDS
from jaxpower.wording import number, quantity, relative_bound

ROOT = Path(__file__).parent.parent
TWO_GPUS = """
from jaxpower.power.simulated import SensorModel
from jaxpower.power.simulated_nvml import UUIDS, Gpu, Library, install
install(Library((
  Gpu(power=300.0, persistence=0),
  Gpu(power=70.0, uuid=UUIDS[1], pci="00000000:65:00.0"),
)))
"""


@pytest.fixture
def environ(tmp_path):
  """An environment whose Pythons see two simulated GPUs, the first visible."""
  folder = tmp_path / "site"
  folder.mkdir()
  (folder / "sitecustomize.py").write_text(TWO_GPUS)
  paths = os.pathsep.join([str(folder), str(ROOT)])
  return {**os.environ, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "0"}


@pytest.fixture
def bare():
  """An environment without GPUs."""
  return {**os.environ, "PYTHONPATH": str(ROOT)}


def start(environ, *arguments, **kwargs):
  return subprocess.Popen(
    [sys.executable, "-m", "jaxpower", *arguments],
    env=environ,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    **kwargs,
  )


def finish(environ, *arguments, **kwargs):
  process = start(environ, *arguments, **kwargs)
  out, err = process.communicate(timeout=60)
  return process.returncode, out, err


def test_measure_leaves_stdout_and_exit_code_alone(environ, tmp_path):
  path = tmp_path / "energy.json"
  code, out, err = finish(
    environ,
    "measure",
    "--idle=0.3",
    f"--json={path}",
    "--",
    "sh",
    "-c",
    "echo to stdout; echo to stderr >&2; sleep 0.5; exit 7",
  )
  assert (code, out) == (7, "to stdout\n")
  assert err.startswith("to stderr\n")
  document = json.loads(path.read_text())
  assert document["exit_code"] == 7 and document["signal"] is None
  gpu = document["domains"][0]
  assert gpu["domain"] == UUIDS[0] and gpu["method"] == "counter"
  assert gpu["mean_watts"] == pytest.approx(300, rel=0.05)
  joules = gpu["joules"]
  assert joules["low"] < joules["value"] < joules["high"]
  assert gpu["idle_watts"] == pytest.approx(300, rel=0.05)
  assert (
    document["boundary"][0] == UUIDS[0] and UUIDS[1] not in document["boundary"]
  )
  apart = [row for row in document["domains"] if not row["counted"]]
  assert [row["domain"] for row in apart] == [UUIDS[1]]


def test_the_table_has_bounds_idle_apart_and_what_is_not_readable(environ):
  _, _, err = finish(environ, "measure", "--", "sleep", "0.3")
  assert "Energy of 'sleep 0.3'" in err
  assert "+- " in err and "   mean " in err
  assert "of GPU-5c1d3f0e is idle (" in err
  assert "not of this job: GPU-91bc77e2" in err
  assert "<not readable>" in err and "fix: " in err
  assert "persistence mode is off" in err
  assert "\x1b" not in err and err.isascii()


def test_a_short_command_is_timed_to_its_end(bare):
  for _ in range(3):
    _, _, err = finish(bare, "measure", "--idle=0", "--", "true")
    (line,) = [line for line in err.splitlines() if "elapsed" in line]
    value, unit, *_ = line.split()
    assert 0 < float(value) * {"s": 1.0, "ms": 1e-3}[unit] < 0.4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_the_command_and_its_death_is_ours(bare, number):
  process = start(
    bare, "measure", "--idle=0", "--", "sh", "-c", "echo ready; exec sleep 20"
  )
  assert process.stdout is not None
  assert process.stdout.readline() == "ready\n"
  process.send_signal(number)
  _, err = process.communicate(timeout=20)
  assert process.returncode == -number
  assert f"ended by signal {int(number)}" in err


def test_a_command_that_handles_the_signal_goes_on(bare):
  script = (
    "import signal, sys, time\n"
    "def stop(*_): print('stopping'); sys.exit(5)\n"
    "signal.signal(signal.SIGINT, stop)\n"
    "print('ready', flush=True)\n"
    "time.sleep(20)\n"
  )
  process = start(
    bare, "measure", "--idle=0", "--", sys.executable, "-c", script
  )
  assert process.stdout is not None
  assert process.stdout.readline() == "ready\n"
  process.send_signal(signal.SIGINT)
  out, _ = process.communicate(timeout=20)
  assert (out, process.returncode) == ("stopping\n", 5)


def test_the_commands_signal_mask_is_clean(bare):
  _, out, _ = finish(
    bare, "measure", "--idle=0", "--", "grep", "^Sig[BI]", "/proc/self/status"
  )
  blocked, ignored = (int(line.split()[1], 16) for line in out.splitlines())
  assert blocked == 0
  assert not ignored & (1 << (signal.SIGPIPE - 1))


def test_stdin_goes_through(bare):
  process = start(
    bare, "measure", "--idle=0", "--", "cat", stdin=subprocess.PIPE
  )
  out, _ = process.communicate("three\nlines\nhere\n", timeout=20)
  assert out == "three\nlines\nhere\n"


def test_the_meter_has_no_process_but_the_command(bare):
  process = start(
    bare, "measure", "--idle=0", "--", "sh", "-c", "echo $$ $PPID; sleep 0.5"
  )
  assert process.stdout is not None
  command, meter = process.stdout.readline().split()
  assert int(meter) == process.pid
  children = Path(f"/proc/{meter}/task/{meter}/children").read_text().split()
  assert children == [command]  # no poller, no helper
  process.kill()
  process.communicate(timeout=20)
  assert process.returncode == -signal.SIGKILL


def test_doctor_says_what_is_measured_and_how_devices_map(environ):
  code, out, _ = finish(environ, "doctor")
  assert code == 0
  first = out.splitlines()[0]
  assert first.startswith(" [ok]    GPU-5c1d3f0e")
  assert "visible as 0, PCI 00000000:17:00.0" in first
  assert "not visible to this process" in out
  assert "fix: sudo nvidia-smi -pm 1" in out


def test_doctor_as_json_maps_every_board(environ):
  code, out, _ = finish(environ, "doctor", "--json")
  document = json.loads(out)
  assert code == 0 and document["measured"] is True
  first, second = document["devices"]
  assert (first["uuid"], first["visible_as"]) == (UUIDS[0], [0])
  assert (second["uuid"], second["visible_as"]) == (UUIDS[1], [])


def test_doctor_fails_where_nothing_can_be_measured(bare):
  if list(Path("/sys/class/powercap").glob("intel-rapl:*")):
    pytest.skip("this machine has RAPL")
  code, out, _ = finish({**bare, "CUDA_VISIBLE_DEVICES": ""}, "doctor")
  if "GPU-" in out:
    pytest.skip("this machine has a GPU")
  assert code == 1
  assert "Nothing can be measured here" in out and "fix: " in out


def test_watch_prints_plain_lines_into_a_pipe(environ):
  code, out, _ = finish(environ, "watch", "--interval=0.2", "--count=2")
  assert code == 0
  lines = [line for line in out.splitlines() if "GPU-" in line]
  assert len(lines) == 4  # two turns, two boards
  watts = [float(line.split()[1]) for line in lines[:2]]
  assert watts[0] == pytest.approx(300, rel=0.1)
  assert watts[1] == pytest.approx(70, rel=0.1)
  assert "GPU-5c1d3f0e" in lines[0] and "not of this job" in lines[1]


def test_watch_estimates_the_machine_and_not_itself(bare):
  arguments = ("watch", "--interval=0.2", "--count=1", "--meter=estimate")
  code, out, _ = finish(bare, *arguments)
  assert code == 0
  assert "CPU of this machine" in out and "estimated" in out


def test_a_reader_that_has_enough_ends_watch_without_a_traceback(bare):
  process = start(bare, "watch", "--interval=0.2", "--meter=estimate")
  assert process.stdout is not None and process.stderr is not None
  process.stdout.readline()
  process.stdout.close()
  assert process.wait(timeout=20) == 141
  assert process.stderr.read() == ""
  process.stderr.close()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["mesure", "--", "ls"], "did you mean 'measure'?"),
    (["measure"], "no command given"),
    (["measure", "--intervall=3", "--", "ls"], "did you mean '--interval'?"),
    (["measure", "--interval=-1", "--", "ls"], "0.001 to 3600 seconds"),
    (["measure", "--idle=-1", "--", "ls"], "'-1' is not 0, nor 0.001 to 3600"),
    (["watch", "--count=0"], "'0' is not a number from 1 on"),
    (["measure", "--meter=nvlm", "--", "ls"], "did you mean 'nvml'?"),
    (["measure", "--json=/no/such/x.json", "--", "ls"], "cannot write"),
    (["watch", "--count=few"], "'few' is not a number from 1 on"),
  ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, capsys):
  try:
    code = main(arguments)
  except SystemExit as error:
    code = error.code
  err = capsys.readouterr().err
  assert code == 2
  assert message in err and err.count("\n") == 1


def test_a_command_that_is_not_there_is_127_as_in_a_shell(capfd):
  assert main(["measure", "--idle=0", "--", "no-such-command-here"]) == 127
  assert "No such file" in capfd.readouterr().err


@pytest.mark.parametrize(
  ("value", "text"),
  [
    (41834.0, "41.8 kJ"),
    (999.7, "1.00 kJ"),
    (999.4, "999 J"),
    (0.0123, "12.3 mJ"),
    (0.0, "0 J"),
    (3.14159e6, "3.14 MJ"),
    (9.996, "10.0 J"),
  ],
)
def test_three_figures(value, text):
  assert quantity(value, "J") == text


def test_bounds_as_shares():
  assert relative_bound(0.4, 100) == "+- 0.4 %"
  assert relative_bound(None, 100) == "" and relative_bound(1.0, None) == ""
  assert relative_bound(30, 100) == "+- 30 %"
  assert number(0.0) == "0"
