"""State dicts are made here, from our own weights or by torch."""

import json
import pathlib
import re
import subprocess
import sys
import tracemalloc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from jaxpower import weights
from jaxpower.config import ConfigError, Model, Transfer, Trial
from jaxpower.learn import checkpoint, cnn, imported, networks, safetensors
from jaxpower.learn.state import TrainState
from jaxpower.plan import requirements
from jaxpower.weights import WeightsError

STAGES = (1, 2)  # blocks of the ResNets that are set beside torch's
ROOT = pathlib.Path(__file__).parent.parent
NAMES = {np.dtype("float32"): "F32", np.dtype(jnp.bfloat16): "BF16"}


def pack(arrays: dict[str, np.ndarray]) -> bytes:
  """A .safetensors file, as its page describes it."""
  header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
  body = b""
  for name, array in arrays.items():
    part = np.ascontiguousarray(array).tobytes()
    header[name] = {
      "dtype": NAMES[array.dtype],
      "shape": array.shape,
      "data_offsets": [len(body), len(body) + len(part)],
    }
    body += part
  text = json.dumps(header).encode()
  return len(text).to_bytes(8, "little") + text + body


def test_arrays_are_read_as_they_were_written(tmp_path: pathlib.Path) -> None:
  arrays = {
    "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([1.5, -2.0], jnp.bfloat16),
    "scalar": np.array(7.0, np.float32),
    "none": np.zeros((0, 4), np.float32),
  }
  path = tmp_path / "w.safetensors"
  path.write_bytes(pack(arrays))
  found = safetensors.read(path)
  assert set(found) == set(arrays)
  for name, array in arrays.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)


def test_a_file_is_read_without_a_copy_for_each_array(
  tmp_path: pathlib.Path,
) -> None:
  path = tmp_path / "w.safetensors"
  content = {str(n): np.full(5_000, n, np.float32) for n in range(200)}
  path.write_bytes(pack(content))
  size = path.stat().st_size
  tracemalloc.start()
  try:
    found = safetensors.read(path)
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert peak < 3 * size
  assert all((found[name] == int(name)).all() for name in content)


WHOLE = pack({"fc.weight": np.ones((2, 3), np.float32)})


@given(
  place=st.integers(0, len(WHOLE) - 1),
  byte=st.integers(0, 255),
  end=st.integers(0, len(WHOLE)),
)
def test_a_broken_file_is_refused_in_one_line(
  tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, end: int
) -> None:
  content = bytearray(WHOLE)
  content[place] = byte
  path = tmp_path_factory.mktemp("w") / "w.safetensors"
  path.write_bytes(bytes(content[:end]))
  try:
    safetensors.read(path)
  except WeightsError as error:
    assert str(error).startswith(str(path))
    assert "\n" not in str(error)


def state_dict(module: Any) -> dict[str, np.ndarray]:
  return {n: t.detach().numpy() for n, t in module.state_dict().items()}


def shaken(torch: Any, module: Any) -> Any:
  """The module with every number of its state drawn at random."""
  torch.manual_seed(3)
  for name, value in module.state_dict().items():
    if value.is_floating_point():
      low = 0.5 if name.endswith("running_var") else -0.5
      value.copy_(torch.rand_like(value) * (1.0 if low > 0 else 0.6) + low)
  return module.eval()


def torch_resnet(torch: Any, bottleneck: bool) -> Any:
  """A ResNet in torchvision's words, its stem as ours."""
  nn = torch.nn

  def conv(inputs: int, outputs: int, side: int, stride: int = 1) -> Any:
    return nn.Conv2d(
      inputs, outputs, side, stride, padding=side // 2, bias=False
    )

  class Block(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int):
      super().__init__()
      if bottleneck:
        outputs = 4 * channels
        self.conv1 = conv(inputs, channels, 1)
        self.conv2 = conv(channels, channels, 3, stride)
        self.conv3 = conv(channels, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
      else:
        outputs = channels
        self.conv1 = conv(inputs, channels, 3, stride)
        self.conv2 = conv(channels, channels, 3)
      self.bn1 = nn.BatchNorm2d(channels)
      self.bn2 = nn.BatchNorm2d(channels)
      self.downsample = None
      if inputs != outputs:
        self.downsample = nn.Sequential(
          conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Any) -> Any:
      y = torch.relu(self.bn1(self.conv1(x)))
      y = self.bn2(self.conv2(y))
      if bottleneck:
        y = self.bn3(self.conv3(torch.relu(y)))
      return torch.relu(y + (self.downsample(x) if self.downsample else x))

  class ResNet(nn.Module):
    def __init__(self) -> None:
      super().__init__()
      self.conv1, self.bn1 = conv(3, 4, 3), nn.BatchNorm2d(4)
      inputs = 4
      for stage, depth in enumerate(STAGES, start=1):
        channels = 4 * 2 ** (stage - 1)
        blocks = []
        for block in range(depth):
          stride = 2 if stage > 1 and block == 0 else 1
          blocks.append(Block(inputs, channels, stride))
          inputs = 4 * channels if bottleneck else channels
        setattr(self, f"layer{stage}", nn.Sequential(*blocks))
      self.fc = nn.Linear(inputs, 5)

    def forward(self, x: Any) -> Any:
      x = torch.relu(self.bn1(self.conv1(x)))
      for stage in range(1, len(STAGES) + 1):
        x = getattr(self, f"layer{stage}")(x)
      return self.fc(x.mean((2, 3)))

  return shaken(torch, ResNet())


def torch_vit(torch: Any, heads: int) -> Any:
  """A ViT in timm's words, with the curve of GELU that ours has."""
  nn, features = torch.nn, 24

  class Part(nn.Module):
    def __init__(self, **parts: Any):
      super().__init__()
      for name, part in parts.items():
        setattr(self, name, part)

  class ViT(nn.Module):
    def __init__(self) -> None:
      super().__init__()
      self.cls_token = nn.Parameter(torch.zeros(1, 1, features))
      self.pos_embed = nn.Parameter(torch.zeros(1, 10, features))
      self.patch_embed = Part(proj=nn.Conv2d(3, features, 2, 2))
      self.blocks = nn.ModuleList(
        Part(
          norm1=nn.LayerNorm(features, 1e-6),
          attn=Part(
            qkv=nn.Linear(features, 3 * features),
            proj=nn.Linear(features, features),
          ),
          norm2=nn.LayerNorm(features, 1e-6),
          mlp=Part(
            fc1=nn.Linear(features, 4 * features),
            fc2=nn.Linear(4 * features, features),
          ),
        )
        for _ in range(2)
      )
      self.norm = nn.LayerNorm(features, 1e-6)
      self.head = nn.Linear(features, 5)

    def forward(self, images: Any) -> Any:
      x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
      first = self.cls_token.expand(len(x), -1, -1)
      x = torch.cat([first, x], 1) + self.pos_embed
      for block in self.blocks:
        batch, length, _ = x.shape
        qkv = block.attn.qkv(block.norm1(x))
        qkv = qkv.reshape(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*qkv)
        mixed = mixed.transpose(1, 2).reshape(batch, length, -1)
        x = x + block.attn.proj(mixed)
        y = block.mlp.fc1(block.norm2(x))
        y = nn.functional.gelu(y, approximate="tanh")
        x = x + block.mlp.fc2(y)
      return self.head(self.norm(x)[:, 0])

  return shaken(torch, ViT())


def as_hugging_face(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """A ViT's or a ResNet's state dict in Hugging Face's words."""
  found: dict[str, np.ndarray] = {}
  for name, array in arrays.items():
    if ".attn.qkv." in name:
      block, leaf = name.split(".")[1], name.split(".")[-1]
      at = f"vit.encoder.layer.{block}.attention.attention"
      for part, values in zip(
        ("query", "key", "value"), np.split(array, 3), strict=True
      ):
        found[f"{at}.{part}.{leaf}"] = values
      continue
    for ours, theirs in (
      (r"^cls_token$", "vit.embeddings.cls_token"),
      (r"^pos_embed$", "vit.embeddings.position_embeddings"),
      (r"^patch_embed\.proj", "vit.embeddings.patch_embeddings.projection"),
      (r"^norm\.", "vit.layernorm."),
      (r"^head\.", "classifier."),
      (r"^blocks\.", "vit.encoder.layer."),
      (r"\.norm1\.", ".layernorm_before."),
      (r"\.norm2\.", ".layernorm_after."),
      (r"\.attn\.proj\.", ".attention.output.dense."),
      (r"\.mlp\.fc1\.", ".intermediate.dense."),
      (r"\.mlp\.fc2\.", ".output.dense."),
      (r"^conv1\.", "resnet.embedder.embedder.convolution."),
      (r"^bn1\.", "resnet.embedder.embedder.normalization."),
      (r"^fc\.", "classifier.1."),
      (r"\.downsample\.0\.", ".shortcut.convolution."),
      (r"\.downsample\.1\.", ".shortcut.normalization."),
    ):
      name = re.sub(ours, theirs, name)
    if stage := re.match(r"layer(\d)\.(\d+)\.(.*)", name):
      at = f"resnet.encoder.stages.{int(stage[1]) - 1}.layers.{stage[2]}"
      rest = stage[3]
      for kind, word in (("conv", "convolution"), ("bn", "normalization")):
        if part := re.match(rf"{kind}(\d)\.(.*)", rest):
          rest = f"layer.{int(part[1]) - 1}.{word}.{part[2]}"
      name = f"{at}.{rest}"
    found[name] = array
  return found


def logits(
  network: nn.Module, params: Any, stats: Any, images: np.ndarray
) -> Any:
  return jax.jit(
    lambda x: network.apply(
      {"params": params, "batch_stats": stats}, x, train=False
    )
  )(images)


CASES = {
  "resnet18": cnn.ResNet(5, STAGES, channels=4),
  "resnet50": cnn.ResNet(5, STAGES, channels=4, bottleneck=True),
  "vit": networks.build(
    Model(name="vit", width=0.375, heads=3), 5, precision="float32"
  ),
}


def made_by_torch(name: str, torch: Any) -> Any:
  if name == "vit":
    return torch_vit(torch, heads=3)
  return torch_resnet(torch, bottleneck=name == "resnet50")


@pytest.mark.parametrize("name", CASES)
def test_a_converted_network_answers_as_torch_s(name: str) -> None:
  torch = pytest.importorskip("torch")
  module = made_by_torch(name, torch)
  # At odd sizes torch pads a strided convolution as ours does; a ViT has none.
  side = 6 if name == "vit" else 17
  images = np.random.default_rng(0).normal(size=(4, side, side, 3))
  images = images.astype(np.float32)
  with torch.no_grad():
    expected = module(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
  arrays = state_dict(module)
  for given_arrays in (arrays, as_hugging_face(arrays)):
    params, stats = imported.convert(given_arrays)
  found = logits(CASES[name], params, stats, images)
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
  assert np.ptp(expected) > 0.01, "the answers must differ to tell anything"
  plain, _ = imported.convert(arrays)
  jax.tree.map(np.testing.assert_array_equal, plain, params)


def resnet(stem: int = 3) -> dict[str, np.ndarray]:
  """A state dict in torchvision's words, of one block a stage."""
  rng = np.random.default_rng(0)

  def draw(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)

  def norm(name: str, channels: int) -> dict[str, np.ndarray]:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": draw(channels) for leaf in leaves}

  arrays = {"conv1.weight": draw(4, 3, stem, stem)} | norm("bn1", 4)
  inputs = 4
  for stage in range(1, 5):
    at, channels = f"layer{stage}.0", 4 * 2 ** (stage - 1)
    arrays |= {f"{at}.conv1.weight": draw(channels, inputs, 3, 3)}
    arrays |= {f"{at}.conv2.weight": draw(channels, channels, 3, 3)}
    arrays |= norm(f"{at}.bn1", channels) | norm(f"{at}.bn2", channels)
    if stage > 1:
      arrays |= {f"{at}.downsample.0.weight": draw(channels, inputs, 1, 1)}
      arrays |= norm(f"{at}.downsample.1", channels)
    inputs = channels
  return arrays | {"fc.weight": draw(1000, 32), "fc.bias": draw(1000)}


def fresh() -> TrainState:
  """The state of a small ResNet before anything is restored into it."""
  model = Model(name="resnet18", width=1 / 16, depth=0.5)
  network = networks.build(model, 10, precision="float32")
  shape = (1, 9, 9, 3)
  shapes = jax.eval_shape(
    lambda: network.init(jax.random.key(0), jnp.zeros(shape), train=False)
  )
  variables = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  return TrainState(
    jnp.int32(0), variables["params"], variables["batch_stats"], ()
  )


def test_an_imported_checkpoint_is_restored_under_another_head(
  tmp_path: pathlib.Path,
) -> None:
  arrays = resnet()
  (tmp_path / "w.safetensors").write_bytes(pack(arrays))
  done = subprocess.run(
    [
      *(sys.executable, "scripts/import_weights.py"),
      *(f"--from={tmp_path / 'w.safetensors'}", f"--out={tmp_path / 'w'}"),
      *("--source=made in a test", "--joules=3.1e8"),
      "--joules_source=model card, 86 kWh",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert (done.stdout, done.returncode) == (f"{tmp_path / 'w'}\n", 0), done
  assert done.stderr == ""  # Orbax would say 60 lines for information
  assert weights.problem(tmp_path / "w") == ""
  told = weights.origin(tmp_path / "w")
  assert (told["joules"], told["source"]) == (3.1e8, "model card, 86 kWh")
  found = checkpoint.restore_backbone(tmp_path / "w", fresh())
  np.testing.assert_array_equal(
    found.params["stem"]["kernel"],
    arrays["conv1.weight"].transpose(2, 3, 1, 0),
  )
  np.testing.assert_array_equal(
    found.batch_stats["stem_norm"]["var"], arrays["bn1.running_var"]
  )
  assert found.params["head"]["kernel"].shape == (32, 10)


def test_a_stem_of_another_size_is_named(tmp_path: pathlib.Path) -> None:
  (tmp_path / "w.safetensors").write_bytes(pack(resnet(stem=7)))
  imported.import_weights(
    tmp_path / "w.safetensors", tmp_path / "w", source="made in a test"
  )
  with pytest.raises(WeightsError) as error:
    checkpoint.restore_backbone(tmp_path / "w", fresh())
  assert str(error.value) == (
    f"the weights in {tmp_path / 'w'} do not fit the network:"
    " params.stem.kernel is [7, 7, 3, 4] float32 there, [3, 3, 3, 4] float32"
    " here"
  )


def test_heads_of_attention_must_be_as_many(tmp_path: pathlib.Path) -> None:
  arrays = {
    "cls_token": np.zeros((1, 1, 192), np.float32),
    "norm.weight": np.ones(192, np.float32),
  }
  (tmp_path / "w.safetensors").write_bytes(pack(arrays))
  facts = imported.import_weights(
    tmp_path / "w.safetensors", tmp_path / "w", source="made in a test"
  )
  assert facts["heads"] == 3
  asked = Trial(
    model=Model(name="vit"), transfer=Transfer(weights=str(tmp_path / "w"))
  )
  with pytest.raises(ConfigError, match=r"model.heads 4: .* with 3"):
    requirements.check_weights(asked)
  asked.model.heads = 3
  requirements.check_weights(asked)


@pytest.mark.parametrize("begin", ["module.", "model.", "a.state_dict."])
def test_a_prefix_common_to_all_names_is_taken_off(
  begin: str, tmp_path: pathlib.Path
) -> None:
  bare = resnet()
  arrays = {begin + name: array for name, array in bare.items()}
  jax.tree.map(
    np.testing.assert_array_equal,
    imported.convert(arrays),
    imported.convert(bare),
  )
  path = tmp_path / "w.safetensors"
  path.write_bytes(pack(arrays))
  facts = imported.import_weights(path, tmp_path / "w", source="a test")
  assert facts["prefix_removed"] == begin
  assert weights.facts(tmp_path / "w").prefix_removed == begin


def test_a_prefix_of_some_names_stays() -> None:
  arrays = resnet()
  assert imported.common_prefix(arrays) == ""
  arrays["module.fc.bias"] = arrays.pop("fc.bias")
  assert imported.common_prefix(arrays) == ""
  with pytest.raises(WeightsError, match=r"no place for module\.fc\.bias"):
    imported.convert(arrays)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(wrong: float) -> None:
  arrays = resnet()
  arrays["fc.bias"] = np.full_like(arrays["fc.bias"], wrong)
  with pytest.raises(WeightsError, match=r"^100 % of fc.bias are not finite"):
    imported.convert(arrays)


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    (
      {"features.0.weight": np.ones((2, 2), np.float32)},
      "no place for features.0.weight; known are ResNets",
    ),
    (
      resnet() | {f"layer1.0.se.{n}": np.ones(1, np.float32) for n in "abcd"},
      "no place for layer1.0.se.a, layer1.0.se.b, layer1.0.se.c and 1 more;",
    ),
    ({}, "no place for nothing; known are"),
  ],
)
def test_other_networks_are_refused(
  arrays: dict[str, np.ndarray], message: str, tmp_path: pathlib.Path
) -> None:
  path = tmp_path / "w.safetensors"
  path.write_bytes(pack(arrays))
  with pytest.raises(WeightsError) as error:
    imported.import_weights(path, tmp_path / "w", source="made in a test")
  assert str(error.value).startswith(f"{path}: {message}")
  assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
  ("asked", "message"),
  [
    ({}, "x.safetensors: No such file or directory"),
    ({"joules": -1.0}, "-1 joules: must be 0 to 1e18"),
    ({"joules": float("nan")}, "nan joules: must be 0 to 1e18"),
    ({"heads": 0}, "0 heads: must be 1 to 10000"),
    ({"joules": 5.0}, "5 joules: say who measured them"),
    ({"folder": ROOT}, f"{ROOT} is there already; name another folder"),
  ],
)
def test_what_cannot_be_imported_is_refused(
  asked: dict[str, Any], message: str, tmp_path: pathlib.Path
) -> None:
  given = {"folder": tmp_path / "w", "source": "made in a test"} | asked
  with pytest.raises(WeightsError) as error:
    imported.import_weights(pathlib.Path("x.safetensors"), **given)
  assert str(error.value) == message


def test_a_wrong_call_of_the_script_is_one_line() -> None:
  done = subprocess.run(
    [sys.executable, "scripts/import_weights.py", "--from=x"],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr == (
    "import_weights: give --from=FILE, --out=FOLDER and --source=TEXT\n"
  )
