"""A CUDA driver library of our own, compiled: what `dlopen` finds in its place.

Its devices are told in the environment variable FAKE_CUDA, as the C library
reads it: "UUID@PCI" for each, separated by commas, UUIDs as 32 hex digits. With
FAKE_CUDA_ERROR cuInit fails with that code.
"""

import pathlib
import subprocess

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *entry(int index) {
  const char *at = getenv("FAKE_CUDA");
  for (; at && index > 0; index--) {
    at = strchr(at, ',');
    if (at) at++;
  }
  return at && *at ? at : NULL;
}
int cuInit(unsigned flags) {
  const char *error = getenv("FAKE_CUDA_ERROR");
  return flags ? 1 : error ? atoi(error) : 0;
}
int cuDeviceGetCount(int *count) {
  for (*count = 0; entry(*count); ) ++*count;
  return 0;
}
/* A device is no ordinal: a caller that takes one for the other is told. */
int cuDeviceGet(int *device, int ordinal) {
  *device = ordinal + 7;
  return entry(ordinal) ? 0 : 101;
}
int UUID_FUNCTION(unsigned char *uuid, int device) {
  const char *at = entry(device - 7);
  if (device < 7 || !at) return 101;
  for (int i = 0; i < 16; i++) {
    unsigned byte;
    if (sscanf(at + 2 * i, "%2x", &byte) != 1) return 1;
    uuid[i] = byte;
  }
  return 0;
}
int cuDeviceGetPCIBusId(char *pci, int length, int device) {
  const char *at = entry(device - 7);
  if (device < 7 || !at) return 101;
  snprintf(pci, length, "%.12s", strchr(at, '@') + 1);
  return 0;
}
"""


def build(
  folder: pathlib.Path, uuid_function: str = "cuDeviceGetUuid_v2"
) -> str:
  """Compiles the library; returns its path."""
  source, library = folder / "cuda.c", folder / "libcuda.so.1"
  source.write_text(SOURCE)
  define = f"-DUUID_FUNCTION={uuid_function}"
  command = ["cc", define, "-shared", "-fPIC", "-o", library, source]
  subprocess.run(command, check=True)
  return str(library)


def environment(*devices: tuple[str, str]) -> str:
  """Writes UUIDs ("GPU-..." or "MIG-...") and addresses for FAKE_CUDA."""
  return ",".join(
    f"{uuid.replace('-', '')[3:]}@{pci[-12:]}" for uuid, pci in devices
  )
