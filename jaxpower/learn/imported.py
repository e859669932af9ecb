"""Weights from elsewhere, turned into a checkpoint of ours.

A state dict of a ResNet in the words of torchvision, timm or Hugging Face, or
of a ViT in those of timm or Hugging Face. Kernels are turned round: of
convolutions from [out, in, height, width] to [height, width, in, out], of
dense layers from [out, in] to [in, out].
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

HEAD_FEATURES = 64  # of each attention head, in every published ViT
NAMED = 3

# Hugging Face's words, as torchvision and timm have them.
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
UNUSED = re.compile(r"num_batches_tracked$|^pooler\.|position_ids$")


def import_weights(
  source: pathlib.Path,
  folder: pathlib.Path,
  *,
  said: str,
  joules: float | None = None,
  joules_source: str | None = None,
  heads: int | None = None,
) -> dict[str, Any]:
  """Writes the checkpoint of a .safetensors file; returns its origin.json.

  Args:
    source: The file.
    folder: Of the checkpoint, not there yet.
    said: Where the weights come from, in words.
    joules: What was spent on them already, where known.
    joules_source: Who says so.
    heads: Of attention; by default one for every 64 features.

  Raises WeightsError where the file cannot be read or is of another network.
  """
  if folder.exists():
    raise WeightsError(f"{folder} is there already; name another folder")
  if joules is not None and not joules_source:
    raise WeightsError(f"{joules:g} joules: say who measured them")
  try:
    params, batch_stats = convert(safetensors.read(source))
  except OSError as error:
    raise WeightsError(f"{source}: {error.strerror}") from None
  except WeightsError as error:
    raise WeightsError(f"{source}: {error}") from None
  facts: dict[str, Any] = {"source": said}
  facts |= {"joules_spent": joules, "joules_source": joules_source}
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
  """A state dict as the parameters and batch statistics of our network.

  All become float32. Raises WeightsError on names of no network known here.
  """
  known = _fused(_renamed(arrays))
  units = _resnet(known) if "conv1.weight" in known else _vit(known)
  params: dict[str, Any] = {}
  batch_stats: dict[str, Any] = {}
  strange = []
  for name, array in known.items():
    unit, _, leaf = name.rpartition(".")
    values = np.asarray(array, np.float32)
    if name in ("cls_token", "pos_embed"):
      if name == "cls_token":
        params["class_token"] = values
      else:
        params["positions"] = values[0]
    elif unit not in units:
      strange.append(name)
    elif leaf in ("running_mean", "running_var"):
      _put(batch_stats, units[unit], leaf.removeprefix("running_"), values)
    elif leaf == "bias":
      _put(params, units[unit], "bias", values)
    elif leaf == "weight" and values.ndim == 1:
      _put(params, units[unit], "scale", values)
    elif leaf == "weight":
      axes = (2, 3, 1, 0) if values.ndim == 4 else (1, 0)
      _put(params, units[unit], "kernel", np.transpose(values, axes))
    else:
      strange.append(name)
  if strange or not params:
    raise WeightsError(_not_known(strange or arrays))
  return params, batch_stats


def _renamed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  return {
    _alias(name): array
    for name, array in arrays.items()
    if not UNUSED.search(_alias(name))
  }


def _alias(name: str) -> str:
  for pattern, words in ALIASES:
    name = re.sub(pattern, words, name)
  stage = re.match(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(.*)", name)
  if stage:
    name = f"layer{int(stage[1]) + 1}.{stage[2]}.{stage[3]}"
  layer = re.match(r"(.*\.)layer\.(\d+)\.(convolution|normalization)\.", name)
  if layer:
    kind = "conv" if layer[3] == "convolution" else "bn"
    name = f"{layer[1]}{kind}{int(layer[2]) + 1}.{name[layer.end() :]}"
  return name


def _fused(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Queries, keys and values of each block as one layer, in this order."""
  fused = dict(arrays)
  for name in arrays:
    if not (found := re.match(r"(blocks\.\d+\.attn)\.q\.(.*)", name)):
      continue
    names = [f"{found[1]}.{part}.{found[2]}" for part in "qkv"]
    if all(part in fused for part in names):
      fused[f"{found[1]}.qkv.{found[2]}"] = np.concatenate(
        [fused.pop(part) for part in names]
      )
  return fused


def _resnet(names: Iterable[str]) -> dict[str, str]:
  """Our names of the layers of a ResNet: counted as they are made.

  In a block the projection of its input is made last.
  """
  names = set(names)
  found = (re.match(r"layer(\d+)\.(\d+)\.", name) for name in names)
  blocks = sorted({(int(f[1]), int(f[2])) for f in found if f})
  units = {"conv1": "stem", "bn1": "stem_norm", "fc": "head"}
  made = 0
  for stage, block in blocks:
    at = f"layer{stage}.{block}"
    pairs = [(f"{at}.conv{n}", f"{at}.bn{n}") for n in (1, 2, 3)]
    pairs.append((f"{at}.downsample.0", f"{at}.downsample.1"))
    for conv, norm in pairs:
      if f"{conv}.weight" in names:
        units |= {conv: f"Conv_{made}", norm: f"BatchNorm_{made}"}
        made += 1
  return units


def _vit(names: Iterable[str]) -> dict[str, str]:
  """Our names of the layers of a ViT."""
  found = (re.match(r"blocks\.(\d+)\.", name) for name in names)
  units = {"patch_embed.proj": "embed", "norm": "blocks/norm", "head": "head"}
  for n in {f[1] for f in found if f}:
    units |= {
      f"blocks.{n}.norm1": f"blocks/norm_{n}a",
      f"blocks.{n}.attn.qkv": f"blocks/attention_{n}/qkv",
      f"blocks.{n}.attn.proj": f"blocks/attention_{n}/out",
      f"blocks.{n}.norm2": f"blocks/norm_{n}b",
      f"blocks.{n}.mlp.fc1": f"blocks/up_{n}",
      f"blocks.{n}.mlp.fc2": f"blocks/down_{n}",
    }
  return units


def _put(tree: dict[str, Any], path: str, leaf: str, values: Any) -> None:
  for name in path.split("/"):
    tree = tree.setdefault(name, {})
  tree[leaf] = values


def _not_known(names: Iterable[str]) -> str:
  names = sorted(names)
  told = ", ".join(names[:NAMED])
  more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
  return (
    f"no place for {told or 'nothing'}{more}; known are ResNets as torchvision,"
    " timm and Hugging Face name them and ViTs as timm and Hugging Face do"
  )
