"""configs/devices.py on simulated GPUs: from the command to the report."""

import os
import pathlib
import subprocess
import sys

import pytest

from jaxpower.folder import record_files

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.proof
@pytest.mark.slow
def test_devices_are_billed_and_told_apart(tmp_path: pathlib.Path) -> None:
  ran = subprocess.run(
    [
      sys.executable,
      "benchmarks/devices_simulated.py",
      "--config=configs/devices.py:quick",
      "--config.vary.devices=(1, 2, 16)",
      "--config.vary.batch_size=(64, 128)",
      f"--out={tmp_path / 'run'}",
    ],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert ran.returncode == 0, ran.stderr
  assert "training on 8 x simulated NVIDIA H100; metering" in ran.stderr
  assert (
    "warning: devices 16: this machine has 8 (simulated NVIDIA H100) (2 trials"
    " are left out)\n"
  ) in ran.stderr
  records = record_files.read(tmp_path / "run").newest.values()
  assert len(records) == 4
  for record in records:
    devices, batch = record.varied["devices"], record.varied["batch_size"]
    assert record.batch_size_per_device == batch // devices
    assert len(record.joules_by_domain) == devices
    apart = (record.apart_joules_by_phase or {})["train"]
    assert len(apart) == 8 - devices
    assert not record.estimated
    # Busy boards draw 300 W, others 70.
    assert record.train_joules == pytest.approx(
      300 * devices * (record.train_seconds or 0), rel=0.2
    )
  page = (tmp_path / "run" / "report.html").read_text()
  assert "The GPUs are simulated" in page
  assert "Batch 128 over all devices: 2 devices trained" in page
  assert (tmp_path / "run" / "devices.png").stat().st_size > 10_000
