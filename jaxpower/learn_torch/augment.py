"""Training images moved and mirrored on the device, as drawn on the host."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def crop(images: Tensor, draws: Tensor) -> Tensor:
  """Moves and mirrors each image of a batch; what moves in is 0.

  One gathering of whole pixels by their numbers: on CPUs 1.5 to 4 times as
  fast as indexing by example, row and column.

  Args:
    images: [batch, height, width, channels], in raw units.
    draws: int [batch, 3], as `jaxpower.data.augmentation_draws` gives them.

  Returns:
    Of the same shape, type and units.
  """
  batch, height, width, channels = images.shape
  top, left = max(1, height // 8), max(1, width // 8)  # the farthest moves
  framed = F.pad(images, (0, 0, left, left, top, top))
  down, across, mirrored = draws.long().split(1, 1)
  device = images.device
  columns = torch.arange(left, left + width, device=device) + across
  columns = torch.where(mirrored > 0, columns.flip(1), columns)
  rows = torch.arange(top, top + height, device=device) + down
  rows = rows + torch.arange(batch, device=device)[:, None] * framed.shape[1]
  pixels = rows[:, :, None] * framed.shape[2] + columns[:, None, :]
  found = framed.view(-1, channels).index_select(0, pixels.view(-1))
  return found.view(images.shape)
