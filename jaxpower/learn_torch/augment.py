"""Crops and mirrors training images on the device, as drawn on the host."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from jaxpower.data.order import SIDE_OVER_SHIFT


def crop(images: Tensor, draws: Tensor) -> Tensor:
  """Shifts and mirrors each image of a batch, zeros where it moves in.

  One gathering of whole pixels by their place in the batch: on CPUs 1.5 to 4
  times as fast as indexing by example, row and column.

  Args:
    images: [batch, height, width, channels], in raw units.
    draws: int [batch, 3], as `jaxpower.data.augmentation_draws` gives them.

  Returns:
    Of the same shape, type and units.
  """
  batch, height, width, channels = images.shape
  # As far as an image is moved at most, and at least 1.
  top = max(1, height // SIDE_OVER_SHIFT)
  left = max(1, width // SIDE_OVER_SHIFT)
  padded = F.pad(images, (0, 0, left, left, top, top))
  down, across, mirrored = draws.long().split(1, 1)
  device = images.device
  columns = torch.arange(left, left + width, device=device) + across
  columns = torch.where(mirrored > 0, columns.flip(1), columns)
  rows = torch.arange(top, top + height, device=device) + down
  rows = rows + torch.arange(batch, device=device)[:, None] * padded.shape[1]
  pixels = rows[:, :, None] * padded.shape[2] + columns[:, None, :]
  moved = padded.view(-1, channels).index_select(0, pixels.view(-1))
  return moved.view(images.shape)
