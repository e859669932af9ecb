"""Realistic records for the tests of the report room."""

from typing import Any

from jaxpower.records import Compilation, Evaluation, TrialRecord

GPU = "GPU-5c1d3f0e-8a9b-4c7d-9e2f-0b6a1d2c3e4f"


def record(
  batch: int = 64,
  seed: int = 0,
  joules: float | None = 212.0,
  status: str | None = None,
  **changes: Any,
) -> TrialRecord:
  """A trial that spent so many joules of training, on an H200.

  Negative joules are those of a trial that missed its target.
  """
  if status is None:
    status = "missed" if (joules or 0) < 0 else "reached"
  reached = status == "reached"
  failed = status == "failed"
  spent = None if failed or joules is None else abs(joules)
  idle, seconds = 88.0, None if failed else 4.0
  target = changes.pop("target_accuracy", 0.8)
  varied = changes.pop("varied", {"batch_size": batch})
  facts: dict[str, Any] = {
    "trial_id": f"{batch:08x}{seed:04x}",
    "config": {
      "data": "fashion_mnist_6k",
      "batch_size": batch,
      "seed": seed,
      "target_accuracy": target,
      # Scaled: that all batch sizes had one rate would be told.
      "optimizer": {
        "name": "adam",
        "learning_rate": 1e-3,
        "scaling": "sqrt",
      },
    },
    "varied": varied,
    "seed": seed,
    "framework": "jax",
    "status": status,
    "target_accuracy": target,
    "error": "worker died (signal 9)" if failed else None,
    "partial": failed,
    "reasons": ("the trial failed: its energy is unknown",) if failed else (),
    "best_accuracy": None if failed else 0.81 if reached else 0.74,
    "examples": None if failed else 20_480,
    "steps": None if failed else 20_480 // batch,
    "train_seconds": seconds,
    "train_joules": spent,
    "train_joules_bound": None if spent is None else 0.01 * spent,
    "seconds_to_accuracy": seconds if reached else None,
    "joules_to_accuracy": spent if reached else None,
    "joules_by_phase": {}
    if failed
    else {"warmup": 0.0, "train": spent, "eval": 10.0},
    "seconds_by_phase": {} if failed else {"train": 4.0, "eval": 0.5},
    "joules_by_domain": {} if failed else {GPU: spent},
    "idle_watts": None if failed else idle,
    "meter": {} if failed else meter(GPU, "gpu"),
    "compile": None
    if failed
    else Compilation(seconds=3.0, joules=30.0, cache_hit=seed > 0),
    "curve": () if spent is None else curve(spent, 0.81 if reached else 0.74),
    "provenance": {"host": "gpu-node-07", "cpu": "AMD EPYC 9654"},
  }
  if reached and spent is not None:
    facts |= {
      "joules_to_accuracy_with_compile": spent + 30.0,
      "joules_to_accuracy_with_eval": spent + 10.0,
      "active_joules_to_accuracy": spent - idle,
    }
  return TrialRecord(**facts | changes)


def meter(domain: str, kind: str, estimated: bool = False) -> dict[str, Any]:
  """How a monitor describes itself, as far as the report reads it."""
  facts = {"domain": domain, "kind": kind, "estimated": estimated}
  return {"meter": "auto", "estimated": estimated, "domains": [facts]}


def modelled(idle: float = 1.0, busy: float = 4.0) -> dict[str, Any]:
  """How a monitor describes a CPU that it models by these watts a core."""
  facts = meter("cpu-estimate", "cpu", estimated=True)
  facts["domains"][0]["assumptions"] = {
    "idle_watts_per_core": idle,
    "busy_watts_per_core": busy,
    "cores": 2,
  }
  return facts


def curve(joules: float, accuracy: float) -> tuple[Evaluation, ...]:
  """Ten evaluations that rise to an accuracy at so many joules."""
  return tuple(
    Evaluation(
      examples=2_048 * look,
      steps=32 * look,
      train_seconds=0.4 * look,
      train_joules=joules * look / 10,
      train_loss=2.3 / look,
      loss=2.4 / look,
      accuracy=accuracy * (1 - 0.75**look) / (1 - 0.75**10),
    )
    for look in range(1, 11)
  )


def seeds(batch: int, *joules: float, **changes: Any) -> list[TrialRecord]:
  """One trial per seed."""
  return [
    record(batch, seed, spent, **changes) for seed, spent in enumerate(joules)
  ]


def grid(
  cells: dict[tuple[int, float], tuple[float, ...]], **changes: Any
) -> list[TrialRecord]:
  """Trials of a grid of batch size and learning rate, a seed per joules."""
  return [
    record(
      batch,
      seed,
      spent,
      varied={"batch_size": batch, "optimizer.learning_rate": rate},
      **changes,
    )
    for (batch, rate), joules in cells.items()
    for seed, spent in enumerate(joules)
  ]


def devices(*uuids: str | None, kind: str = "NVIDIA H200") -> dict[str, Any]:
  """The provenance of a trial on these GPUs of one machine."""
  facts = [
    {"platform": "gpu", "kind": kind, "index": i, "uuid": uuid}
    for i, uuid in enumerate(uuids)
  ]
  return {"host": "gpu-node-07", "cpu": "AMD EPYC 9654", "devices": facts}


# Joules of each phase of a trial of `side`; its training is what it spent.
PHASES: dict[str, float | None] = {
  "setup": 5.0,
  "compile": 0.0,
  "warmup": 2.0,
  "train": 0.0,
  "eval": 10.0,
  "infer": 1.0,
}


def side(
  framework: str, *joules: float, batch: int = 64, **changes: Any
) -> list[TrialRecord]:
  """A trial of a framework per seed; negative joules: it missed its target."""
  varied = {"batch_size": batch, "framework": framework}
  changes.setdefault("provenance", devices(GPU))
  changes.setdefault("first_seed", 0)
  first = changes.pop("first_seed")
  return [
    record(
      batch,
      seed,
      spent,
      framework=framework,
      varied=varied,
      config={
        "data": "fashion_mnist_6k",
        "model": {"name": "resnet18"},
        "batch_size": batch,
        "framework": framework,
        "seed": seed,
        "target_accuracy": 0.8,
      },
      **{"joules_by_phase": PHASES | {"train": abs(spent)}, **changes},
    )
    for seed, spent in enumerate(joules, start=first)
  ]
