"""The IDX format of MNIST-like data: a magic number, big-endian sizes, then bytes.

Format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from inferlab.errors import DataError

if TYPE_CHECKING:
    import numpy as np

UNSIGNED_BYTE = 0x08
LARGEST_BYTES = 1 << 30
"""No more is unpacked than this, whatever a file claims."""


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """A gzip-compressed IDX file of unsigned bytes as a uint8 array. Raises DataError naming the file."""
    import numpy as np

    try:
        with gzip.open(path) as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a gzip file: {error}") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
        raise DataError(f"{path} is not an IDX file of unsigned bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header
    size = 1
    for length in shape:
        size *= length
    expected += size
    if len(content) != expected:
        raise DataError(f"{path} holds {len(content)} bytes, its header says {expected} for shape {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array as a gzip-compressed IDX file; equal arrays give equal bytes."""
    header = bytes((0, 0, UNSIGNED_BYTE, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype("uint8").tobytes()
    path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
