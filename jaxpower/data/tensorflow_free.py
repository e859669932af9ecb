"""Lets the builders of tensorflow-datasets prepare a set without TensorFlow.

Reading a prepared set needs no TensorFlow, preparing one does: the stock
builders use it in three small places, to find and open files, to turn bytes
into text, and to encode an array as PNG. tensorflow-cpu would add 1.4 GB to an
installation for that (2.21.0, beside tensorflow-datasets 4.9.10). Python and
Pillow do the same.

The replacements are patches of somebody else's modules, so they hold only
inside `tensorflow_free`, and only for the builder that runs there. The sums of
the published files are still checked, by the stock downloader.
"""

import contextlib
import glob
import importlib
import io
import os
import types
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def tensorflow_free(builder: object) -> Iterator[None]:
  """Replaces TensorFlow for `builder` while a set is prepared."""
  from tensorflow_datasets.core.download import extractor
  from tensorflow_datasets.core.features import image_feature

  own_module = importlib.import_module(type(builder).__module__)
  with contextlib.ExitStack() as stack:
    for module in (extractor, own_module):
      if hasattr(module, "tf"):
        stack.enter_context(_replaced(module, "tf", _stand_in()))
    stack.enter_context(
      _replaced(image_feature._ImageEncoder, "_encode_image", _encode_image)
    )
    yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
  before = getattr(owner, name)
  setattr(owner, name, value)
  try:
    yield
  finally:
    setattr(owner, name, before)


def _stand_in() -> types.SimpleNamespace:
  """Makes the two corners of the `tf` module that builders use."""
  text = lambda value: value.decode() if isinstance(value, bytes) else value
  gfile = types.SimpleNamespace(
    GFile=open, glob=glob.glob, isdir=os.path.isdir, listdir=os.listdir
  )
  return types.SimpleNamespace(
    io=types.SimpleNamespace(gfile=gfile),
    compat=types.SimpleNamespace(as_text=text),
  )


def _encode_image(encoder: Any, image: np.ndarray) -> bytes:
  """Encodes an array in the encoder's format; stands in for its method."""
  from PIL import Image

  pixels = image[..., 0] if image.shape[-1] == 1 else image
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format=encoder.encoding_format)
  return file.getvalue()
