"""ResNet-50 with random weights: the shapes that engines for CPUs are compared on."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inferlab.models.base import MODELS, TensorSpec
from inferlab.models.untrained import CLASSES, Untrained

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

SEED = 0
STATISTICS_BATCH = 8
"""Random pictures whose statistics normalize each layer, so that values stay in the range of a trained network's."""
PIXEL_MEAN, PIXEL_SCALE = 127.5, 64.0


class PictureBody(BaseModel):
    """A picture as base64 of its bytes: red, then green, then blue, each row by row."""

    model_config = ConfigDict(extra="forbid")

    picture: str


@MODELS.register("resnet")
class ResNet(Untrained):
    """Takes a normalized picture, gives logits."""

    family: Literal["resnet"]
    image_size_px: int = Field(ge=32, le=1024)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="picture", dtype="float32", shape=(3, self.image_size_px, self.image_size_px)),)

    def architecture(self) -> nn.Module:
        from inferlab.models.networks.resnet import ResNet50

        return ResNet50(CLASSES).eval()

    def pretrained(self) -> nn.Module:
        """With PyTorch's own initial weights, drawn with a fixed seed, and the statistics of random pictures."""
        import torch

        from inferlab.models.networks.resnet import take_statistics

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            module = self.architecture()
        pictures = self.preprocess(self.example_samples(STATISTICS_BATCH, SEED))["picture"]
        take_statistics(module, torch.from_numpy(pictures))
        return module

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        import numpy as np

        shape = (count, 3, self.image_size_px, self.image_size_px)
        return {"picture": np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)}

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Pictures uint8 [batch, 3, height, width] -> float32 of the same shape."""
        import numpy as np

        return {"picture": (raw["picture"].astype(np.float32) - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_SCALE)}

    def plain_body(self) -> type[BaseModel]:
        return PictureBody

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        pixels = (inputs["picture"][0] * PIXEL_SCALE + PIXEL_MEAN).round().astype("uint8")
        return {"picture": base64.b64encode(pixels.tobytes()).decode("ascii")}

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        import numpy as np

        if not isinstance(body, PictureBody):
            raise TypeError(f"expected a PictureBody, got a {type(body).__name__}")
        try:
            pixels = base64.b64decode(body.picture, validate=True)
        except ValueError as error:
            raise ValueError(f"picture: not base64: {error}") from None
        shape = self.inputs[0].shape
        if len(pixels) != np.prod(shape):
            raise ValueError(f"picture: {len(pixels)} bytes are not allowed; allowed: {np.prod(shape)}")
        return self.preprocess({"picture": np.frombuffer(pixels, dtype=np.uint8).reshape(1, *shape)})
