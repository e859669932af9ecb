"""Converts weights made elsewhere to a checkpoint.

They are a state dict of a ResNet, named as torchvision, timm or Hugging Face
do, or of a ViT, named as timm or Hugging Face do. All names are first brought
to those of torchvision (ResNets) and timm (ViTs), then to Flax's. Kernels are
transposed: of convolutions from [out, in, height, width] to [height, width,
in, out], of dense layers from [out, in] to [in, out].
"""

import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpower import weights
from jaxpower.learn import checkpoint, safetensors
from jaxpower.learn.state import TrainState
from jaxpower.weights import WeightsError

# Of each attention head in ViT-Ti, S, B and L; ViT-H has 80 (Dosovitskiy et al.
# 2021, table 1) and needs `heads`.
HEAD_FEATURES = 64
LISTED = 3  # names in an error line, the others are counted

# Hugging Face's names, as patterns, and those of torchvision and timm.
ALIASES = (
  (r"^vit\.|^resnet\.", ""),
  (r"^embeddings\.cls_token$", "cls_token"),
  (r"^embeddings\.position_embeddings$", "pos_embed"),
  (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
  (r"^encoder\.layer\.", "blocks."),
  (r"\.attention\.attention\.query\.", ".attn.q."),
  (r"\.attention\.attention\.key\.", ".attn.k."),
  (r"\.attention\.attention\.value\.", ".attn.v."),
  (r"\.attention\.output\.dense\.", ".attn.proj."),
  (r"\.intermediate\.dense\.", ".mlp.fc1."),
  (r"\.output\.dense\.", ".mlp.fc2."),
  (r"\.layernorm_before\.", ".norm1."),
  (r"\.layernorm_after\.", ".norm2."),
  (r"^layernorm\.", "norm."),
  (r"^classifier\.1\.", "fc."),
  (r"^classifier\.", "head."),
  (r"^embedder\.embedder\.convolution\.", "conv1."),
  (r"^embedder\.embedder\.normalization\.", "bn1."),
  (r"\.shortcut\.convolution\.", ".downsample.0."),
  (r"\.shortcut\.normalization\.", ".downsample.1."),
)
# The first layer's kernel, by which a network is known.
STEMS = {"conv1.weight", "patch_embed.proj.weight"}
UNUSED = re.compile(r"num_batches_tracked$|^pooler\.|position_ids$")


def import_weights(
  file: pathlib.Path,
  folder: pathlib.Path,
  *,
  source: str,
  joules: float | None = None,
  joules_source: str | None = None,
  heads: int | None = None,
) -> dict[str, Any]:
  """Writes a .safetensors file as a checkpoint; returns its origin.json.

  Args:
    file: The .safetensors file.
    folder: The checkpoint's, which must not exist.
    source: Where the weights come from, in words.
    joules: The energy of their training, where known.
    joules_source: Who measured it.
    heads: Of attention; by default one for every 64 features.

  Raises WeightsError where the file cannot be read or is of another network.
  """
  if folder.exists():
    raise WeightsError(f"{folder} is there already; name another folder")
  if joules is not None and not 0 <= joules <= weights.MOST_JOULES:
    raise WeightsError(f"{joules:g} joules: must be 0 to 1e18")
  if heads is not None and not 1 <= heads <= weights.MOST_HEADS:
    raise WeightsError(f"{heads} heads: must be 1 to {weights.MOST_HEADS}")
  if joules is not None and not joules_source:
    raise WeightsError(f"{joules:g} joules: say who measured them")
  try:
    arrays = safetensors.read(file)
    params, batch_stats = convert(arrays)
  except OSError as error:
    raise WeightsError(f"{file}: {error.strerror}") from None
  except WeightsError as error:
    named = str(error).startswith(str(file))
    raise WeightsError(str(error) if named else f"{file}: {error}") from None
  facts: dict[str, Any] = {"source": source}
  facts |= {"joules_spent": joules, "joules_source": joules_source}
  if begin := common_prefix(arrays):
    facts["prefix_removed"] = begin
  if "class_token" in params:
    features = params["class_token"].shape[-1]
    facts["heads"] = heads or max(1, features // HEAD_FEATURES)
  state = TrainState(jnp.int32(0), params, batch_stats, {})
  checkpoint.save(folder, state)
  (folder / weights.ORIGIN).write_text(json.dumps(facts, indent=2) + "\n")
  weights.seal(folder)
  return facts


def convert(
  arrays: Mapping[str, np.ndarray],
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Converts a state dict to a network's parameters and batch statistics.

  All become float32. A prefix that all names have is taken off, as the
  `module.` that DDP writes. Raises WeightsError on names of no network known
  here, and on numbers that are not finite.
  """
  begin = common_prefix(arrays)
  bare = {name.removeprefix(begin): array for name, array in arrays.items()}
  renamed = _fuse(_rename(bare))
  layers = _resnet(renamed) if "conv1.weight" in renamed else _vit(renamed)
  params: dict[str, Any] = {}
  batch_stats: dict[str, Any] = {}
  unknown = []
  for name, array in renamed.items():
    layer, _, leaf = name.rpartition(".")
    values = np.asarray(array, np.float32)
    if not np.isfinite(values).all():
      share = 100 * np.mean(~np.isfinite(values))
      raise WeightsError(
        f"{share:.3g} % of {name} are not finite numbers: the training that"
        " made them diverged, or the file is damaged"
      )
    if name in ("cls_token", "pos_embed"):
      if name == "cls_token":
        params["class_token"] = values
      else:
        params["positions"] = values[0]
    elif layer not in layers:
      unknown.append(name)
    elif leaf in ("running_mean", "running_var"):
      _put(batch_stats, layers[layer], leaf.removeprefix("running_"), values)
    elif leaf == "bias":
      _put(params, layers[layer], "bias", values)
    elif leaf == "weight" and values.ndim == 1:
      _put(params, layers[layer], "scale", values)
    elif leaf == "weight":
      axes = (2, 3, 1, 0) if values.ndim == 4 else (1, 0)
      _put(params, layers[layer], "kernel", np.transpose(values, axes))
    else:
      unknown.append(name)
  if unknown or not params:
    raise WeightsError(_no_place(unknown or arrays))
  return params, batch_stats


def common_prefix(names: Iterable[str]) -> str:
  """Finds what stands before every name of a known network, such as "module.".

  "" where nothing does.
  """
  first, *others = [name.split(".") for name in names] or [[]]
  for length in range(len(first) - 1, 0, -1):
    begin = first[:length]
    if all(other[:length] == begin for other in others):
      rest = (".".join(name[length:]) for name in (first, *others))
      return f"{'.'.join(begin)}." if STEMS & set(map(_alias, rest)) else ""
  return ""


def _rename(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Renames arrays as torchvision or timm do; leaves out what is not used."""
  return {
    _alias(name): array
    for name, array in arrays.items()
    if not UNUSED.search(_alias(name))
  }


def _alias(name: str) -> str:
  """Converts a name of Hugging Face's to that of torchvision or timm."""
  for pattern, ours in ALIASES:
    name = re.sub(pattern, ours, name)
  stage = re.match(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(.*)", name)
  if stage:
    name = f"layer{int(stage[1]) + 1}.{stage[2]}.{stage[3]}"
  layer = re.match(r"(.*\.)layer\.(\d+)\.(convolution|normalization)\.", name)
  if layer:
    kind = "conv" if layer[3] == "convolution" else "bn"
    name = f"{layer[1]}{kind}{int(layer[2]) + 1}.{name[layer.end() :]}"
  return name


def _fuse(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Joins queries, keys and values of each block, in this order."""
  fused = dict(arrays)
  for name in arrays:
    if not (query := re.match(r"(blocks\.\d+\.attn)\.q\.(.*)", name)):
      continue
    names = [f"{query[1]}.{part}.{query[2]}" for part in "qkv"]
    if all(part in fused for part in names):
      fused[f"{query[1]}.qkv.{query[2]}"] = np.concatenate(
        [fused.pop(part) for part in names]
      )
  return fused


def _resnet(names: Iterable[str]) -> dict[str, str]:
  """Maps the layers of a ResNet to Flax's, numbered in the order of calls.

  In a block the projection of its input is called last.
  """
  names = set(names)
  matches = (re.match(r"layer(\d+)\.(\d+)\.", name) for name in names)
  blocks = sorted({(int(m[1]), int(m[2])) for m in matches if m})
  layers = {"conv1": "stem", "bn1": "stem_norm", "fc": "head"}
  number = 0
  for stage, block in blocks:
    at = f"layer{stage}.{block}"
    pairs = [(f"{at}.conv{n}", f"{at}.bn{n}") for n in (1, 2, 3)]
    pairs.append((f"{at}.downsample.0", f"{at}.downsample.1"))
    for conv, norm in pairs:
      if f"{conv}.weight" in names:
        layers |= {conv: f"Conv_{number}", norm: f"BatchNorm_{number}"}
        number += 1
  return layers


def _vit(names: Iterable[str]) -> dict[str, str]:
  """Maps the layers of a ViT to Flax's."""
  matches = (re.match(r"blocks\.(\d+)\.", name) for name in names)
  layers = {"patch_embed.proj": "embed", "norm": "blocks/norm", "head": "head"}
  for n in {m[1] for m in matches if m}:
    layers |= {
      f"blocks.{n}.norm1": f"blocks/norm_{n}a",
      f"blocks.{n}.attn.qkv": f"blocks/attention_{n}/qkv",
      f"blocks.{n}.attn.proj": f"blocks/attention_{n}/out",
      f"blocks.{n}.norm2": f"blocks/norm_{n}b",
      f"blocks.{n}.mlp.fc1": f"blocks/up_{n}",
      f"blocks.{n}.mlp.fc2": f"blocks/down_{n}",
    }
  return layers


def _put(tree: dict[str, Any], path: str, leaf: str, values: Any) -> None:
  """Sets a leaf of nested dicts, at a path of names joined by "/"."""
  for name in path.split("/"):
    tree = tree.setdefault(name, {})
  tree[leaf] = values


def _no_place(names: Iterable[str]) -> str:
  """Says which arrays belong to no network, and which networks are known."""
  names = sorted(names)
  listed = ", ".join(names[:LISTED])
  more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
  return (
    f"no place for {listed or 'nothing'}{more}; known are ResNets as"
    " torchvision, timm and Hugging Face name them and ViTs as timm and Hugging"
    " Face do"
  )
