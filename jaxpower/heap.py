"""Keeps the heap of a process that trains: what it takes and what it holds.

Workers keep what the kernel gave them, and give back what is free at one
instant: when programs are compiled, which takes a hundred megabytes or two that
training never needs.
"""

import ctypes

# The heap is kept, and the largest blocks come from it that glibc allows: else
# they go back to the kernel or not by what was freed before, so that a step's
# time hung on the order of trials (PyTorch's CNN at batch 1024: 37,900 examples
# a second, or 54,300). glibc's HEAP_MAX_SIZE / 2, and the largest int.
KEPT = {
  "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
  "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}


def give_back() -> None:
  """Gives what is free in the heap back to the kernel; glibc's alone can."""
  trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
  if trim is not None:
    trim(0)
