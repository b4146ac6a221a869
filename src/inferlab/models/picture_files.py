"""Pictures as people send them: PNG, JPEG or WebP files, read within bounds."""

from __future__ import annotations

import base64
import io
import warnings
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 16_000_000
MAX_FILE_BYTES = 10_000_000


class PictureFileBody(BaseModel):
    """A picture's file."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(
        description="a PNG, JPEG or WebP file in base64",
        max_length=-(-MAX_FILE_BYTES // 3) * 4,
        json_schema_extra={"contentEncoding": "base64"},
    )


def file_of(body: BaseModel) -> bytes:
    """The bytes of a body's file. Raises ValueError naming the field."""
    if not isinstance(body, PictureFileBody):
        raise TypeError(f"expected a PictureFileBody, got a {type(body).__name__}")
    try:
        return base64.b64decode(body.image, validate=True)
    except ValueError as error:
        raise ValueError(f"image: not base64: {error}") from None


class _TooLargeError(ValueError):
    """A picture of too many pixels; never decoded."""


def grey_picture(content: bytes, size_px: int) -> np.ndarray:
    """A picture's file -> grey uint8 [1, size_px, size_px]. Raises ValueError where it is none, or too large."""
    import numpy as np
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, and of sizes that are refused below
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise _TooLargeError(f"image: {width} x {height} pixels; expected at most {MAX_PIXELS} together")
                grey = picture.convert("L").resize((size_px, size_px), Image.Resampling.BOX)
        except _TooLargeError:
            raise
        except Exception as error:  # noqa: BLE001 (PIL raises what comes along in a file that is not right)
            expected = f"expected a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
            raise ValueError(f"image: not readable ({type(error).__name__}); {expected}") from None
    return np.asarray(grey, dtype=np.uint8)[None]
