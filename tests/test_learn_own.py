"""A network of the user's in JAX: Linen or NNX, from a file."""

import dataclasses
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpower import data
from jaxpower.config import ConfigError, Model, Trial
from jaxpower.learn import networks, own
from jaxpower.learn.own import HEAD
from tests import user_files

FACTS = dataclasses.replace(
  data.describe("digits"), input_shape=(4, 4, 1), labels={"label": 3}
)


@pytest.fixture
def here(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
  monkeypatch.chdir(tmp_path)
  return user_files.write(tmp_path, nets=user_files.LINEN, netsx=user_files.NNX)


def trial(name: str, **options: int) -> Trial:
  return Trial(model=Model(name=name, options=options))


@pytest.mark.parametrize("name", ["nets.py:Wide", "netsx.py:WideX"])
def test_a_network_of_either_kind_is_built_with_its_options(
  name: str, here: pathlib.Path
) -> None:
  asked = trial(name, width=5)
  own.check(asked, FACTS, 3, text=False)
  network = networks.build(
    asked.model, 3, precision="bfloat16", input_shape=(4, 4, 1)
  )
  inputs = jnp.ones((2, 4, 4, 1), jnp.bfloat16)
  variables = network.init(jax.random.key(0), inputs, train=False)
  assert variables["params"][HEAD]["kernel"].shape == (5, 3)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {
    jnp.dtype("float32")
  }
  logits = network.apply(variables, inputs, train=False)
  assert (logits.shape, logits.dtype) == ((2, 3), jnp.bfloat16)
  features = network.apply(variables, inputs, train=False, logits=False)
  assert features.shape == (2, 5)


def test_an_nnx_module_draws_and_keeps_statistics_in_training_alone(
  here: pathlib.Path,
) -> None:
  network = networks.build(
    trial("netsx.py:WideX").model, 3, precision="float32", input_shape=(4, 4)
  )
  inputs = jax.random.normal(jax.random.key(1), (6, 4, 4))
  variables = network.init(jax.random.key(0), inputs, train=False)
  assert sorted(variables["params"]) == ["head", "layers", "norm"]
  assert list(variables["params"]["layers"]) == ["0"]

  def train(seed: int):
    return jax.jit(
      lambda variables, key: network.apply(
        variables,
        inputs,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": key},
      )
    )(variables, jax.random.key(seed))

  (first, stats), (again, _), (other, _) = train(0), train(0), train(1)
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 0
  moved = stats["batch_stats"]["norm"]["mean"]
  assert np.abs(moved - variables["batch_stats"]["norm"]["mean"]).max() > 0
  still = network.apply(variables, inputs, train=False)
  np.testing.assert_array_equal(
    still, network.apply(variables, inputs, train=False)
  )


def test_equal_seeds_draw_equal_weights(here: pathlib.Path) -> None:
  for name in ("nets.py:Wide", "netsx.py:WideX"):
    network = networks.build(
      trial(name).model, 3, precision="float32", input_shape=(4, 4)
    )
    drawn = [
      network.init(jax.random.key(seed), jnp.zeros((1, 4, 4)), train=False)
      for seed in (0, 0, 1)
    ]
    kernels = [v["params"][HEAD]["kernel"] for v in drawn]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0


@pytest.mark.parametrize(
  ("change", "line"),
  [
    (("", ""), None),
    (('name="head"', 'name="last"'), "has no dense layer named 'head'; its"),
    (("*, train,", "*,"), "its __call__ takes no `train`; write"),
    (("  dtype: jnp.dtype\n", ""), "takes no argument dtype; it has (classes"),
    (("width: int = 8", "width: int"), "needs width; give --config.model."),
    (("self.classes", "7"), "to (2, 7), not to logits (2, 3)"),
    (("(nn.Module)", ""), "is a class of builtins.object; JAX needs a Flax"),
    # Unlike types meet as JAX lets them by itself.
    (("nn.relu(", "jnp.ones(8, 'bfloat16') * nn.relu("), None),
    (
      ("x = inputs.reshape", "x = inputs.reshap"),
      "nets.py, line 13: AttributeError: ",
    ),
    (
      (
        "x = inputs",
        "self.variable('cache', 'n', jnp.zeros, ())\n    x = inputs",
      ),
      "has variables in cache; the trainer keeps params and batch_stats",
    ),
    (
      ('dtype=self.dtype, name="head"', 'param_dtype="float16", name="head"'),
      "weights are float32, whatever dtype the arithmetic has; head.bias is",
    ),
  ],
)
def test_what_the_trainer_cannot_use_is_one_line(
  change: tuple[str, str], line: str | None, here: pathlib.Path
) -> None:
  path = here / "nets.py"
  path.write_text(path.read_text().replace(*change) + " " * len(change[0]))
  if line is None:
    own.check(trial("nets.py:Wide"), FACTS, 3, text=False)
    return
  with pytest.raises(ConfigError) as raised:
    own.check(trial("nets.py:Wide"), FACTS, 3, text=False)
  assert str(raised.value).startswith("model.name: nets.py")
  assert line in str(raised.value)
  assert "\n" not in str(raised.value)


def test_what_a_trial_asks_of_a_network_is_checked(here: pathlib.Path) -> None:
  asked = dataclasses.replace(trial("netsx.py:WideX"), dropout=0.1)
  with pytest.raises(ConfigError, match="its __call__ takes no `dropout`"):
    own.check(asked, FACTS, 3, text=False)
  with pytest.raises(ConfigError, match=r"not to logits \(2, 4, 4, 1, 3\)"):
    own.check(trial("nets.py:Wide"), FACTS, 3, text=True)
  variables = user_files.NNX.replace(
    "self.norm =", "self.count = nnx.Variable(0)\n    self.norm ="
  )
  (here / "netsx.py").write_text(variables)
  with pytest.raises(ConfigError, match=r"neither nnx\.Param nor .*\(count\)"):
    own.check(trial("netsx.py:WideX"), FACTS, 3, text=False)


def test_the_network_in_the_docs_is_one(here: pathlib.Path) -> None:
  page = pathlib.Path(__file__).parent.parent / "docs" / "own.md"
  code, _ = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
  (here / "nets.py").write_text(code)
  own.check(trial("nets.py:WideNet", width=9), FACTS, 3, text=False)
  told = re.search(r"^error: (.*)$", page.read_text(), re.MULTILINE)
  (here / "nets.py").write_text(code.replace(', name="head"', ""))
  with pytest.raises(ConfigError) as raised:
    own.check(trial("nets.py:WideNet"), FACTS, 3, text=False)
  assert told is not None and str(raised.value) == told[1]
