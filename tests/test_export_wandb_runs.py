"""Offline runs of W&B, read back from their files; nothing is sent."""

import json
import pathlib
import struct
from collections.abc import Iterator

import committed
import pytest
from report_records import record

from jaxpower.export import wandb_runs as ours
from jaxpower.export.runs import runs

# A .wandb file is a log of LevelDB behind seven bytes: blocks of 32 KiB, in
# each chunks of a checksum, a length and a kind.
HEAD, BLOCK, CHUNK = 7, 32_768, struct.Struct("<IHB")
WHOLE, LAST = 1, 4  # kinds that end a message


def entries(file: pathlib.Path) -> Iterator[bytes]:
  """Yields the messages of a run's file."""
  content = file.read_bytes()
  at, parts = HEAD, b""
  while at + CHUNK.size <= len(content):
    if BLOCK - at % BLOCK < CHUNK.size:
      at += BLOCK - at % BLOCK
      continue
    _, length, kind = CHUNK.unpack_from(content, at)
    at += CHUNK.size
    parts += content[at : at + length]
    at += length
    if kind in (WHOLE, LAST):
      yield parts
      parts = b""


@pytest.mark.proof
def test_wandb_wrote_what_we_gave(tmp_path):
  messages = pytest.importorskip("wandb.proto.wandb_internal_pb2")
  trials = committed.records("frameworks_transformer")[:2]
  failed = record(64, status="failed")
  ours.write(runs([*trials, failed], "1.0"), tmp_path / "out", "frameworks")
  files = list(tmp_path.glob("out/wandb/offline-run-*/*.wandb"))
  assert len(files) == 3
  for trial in trials:
    (file,) = (f for f in files if f.stem == f"run-{trial.trial_id}")
    found = [messages.Record.FromString(entry) for entry in entries(file)]
    run = next(each.run for each in found if each.run.run_id)
    config = {i.key: json.loads(i.value_json) for i in run.config.update}
    assert config["batch_size"] == trial.config["batch_size"]
    assert config["energy"] == "estimated"
    assert not run.host and not run.git.commit
    assert str(pathlib.Path.cwd()).encode() not in file.read_bytes()
    looks = [
      {
        i.key or i.nested_key[0]: json.loads(i.value_json)
        for i in each.history.item
      }
      for each in found
      if each.history.item
    ]
    assert [(x["examples"], x["accuracy"]) for x in looks] == [
      (look.examples, look.accuracy) for look in trial.curve
    ]
    summary = {
      i.key or i.nested_key[0]: json.loads(i.value_json)
      for each in found
      for i in each.summary.update
    }
    known = summary["trial/joules_to_accuracy"]
    assert known == pytest.approx(trial.joules_to_accuracy)
