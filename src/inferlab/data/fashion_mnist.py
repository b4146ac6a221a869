"""Fashion-MNIST: grey pictures of clothes, 28 by 28 pixels, ten classes (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747).

The package carries all 10,000 test pictures and 12,000 training pictures (MIT licence, beside them);
scripts/embed_fashion_mnist.py made them. `path` names a folder with the whole set's four IDX .gz files instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from inferlab.data.base import DATASETS, DatasetOptions, Samples, Splits
from inferlab.data.checks import balanced_choice, class_shares, duplicate_mask, require_shares
from inferlab.data.idx import read_idx
from inferlab.errors import DataError, ParamsError
from inferlab.files import file_digest

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
EMBEDDED = Path(__file__).parent / "embedded" / "fashion_mnist"
EMBEDDED_SHA256 = {
    "train-images-idx3-ubyte.gz": "e0b4db1ff7b16192c3cf0ce9d630a2057ba1118f91301d72ec9667711a0850ef",
    "train-labels-idx1-ubyte.gz": "261e4c924664949f64be6ab9c5ccdc4522d6721084708e7ed0404b8a175f2720",
    "t10k-images-idx3-ubyte.gz": "a1725d57fc996bcaea08b54499f132a54475a7d8a6ebce2fe65f8a479b2a8674",
    "t10k-labels-idx1-ubyte.gz": "bad34aa92450454a281e4959ab5a22f03213e21212f4261dadf52e42fa6cd580",
}
SIZE_PX = 28
LABEL_SHARES = (0.09, 0.11)
TEST_COUNT = 10000
EMBEDDED_TRAIN_COUNT, WHOLE_TRAIN_COUNT = 12000, 60000


@DATASETS.register("fashion-mnist")
class FashionMnist(DatasetOptions):
    """Pictures uint8 [samples, 28, 28], classes in equal shares."""

    kind: ClassVar[Literal["picture", "text"]] = "picture"
    labels: ClassVar[tuple[str, ...]] = (
        "t-shirt or top",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )

    name: Literal["fashion-mnist"]
    path: Path | None = None
    """Folder of the whole set; none: what the package carries."""

    @property
    def most(self) -> dict[str, int]:
        return {"train": WHOLE_TRAIN_COUNT if self.path else EMBEDDED_TRAIN_COUNT, "test": TEST_COUNT}

    def check(self, key: str) -> None:
        super().check(key)
        if self.path and not all((self.path / name).is_file() for name in FILES):
            raise ParamsError(f"{key}.path", str(self.path), f"a folder with {', '.join(FILES)}, or null")

    def load(self, train_count: int, evaluation_count: int, seed: int) -> Splits:
        import numpy as np

        folder = self.path or EMBEDDED
        checks: dict[str, Any] = {"sha256": _checked_files(folder, None if self.path else EMBEDDED_SHA256)}
        train = _read(folder / TRAIN_IMAGES, folder / TRAIN_LABELS, self.labels)
        test = _read(folder / TEST_IMAGES, folder / TEST_LABELS, self.labels)
        _require_count(folder / TRAIN_IMAGES, len(train), WHOLE_TRAIN_COUNT if self.path else EMBEDDED_TRAIN_COUNT)
        _require_count(folder / TEST_IMAGES, len(test), TEST_COUNT)
        for what, samples in (("train", train), ("test", test)):
            checks[f"{what}_label_shares"] = require_shares(
                f"{folder}: {what}", samples.labels, self.labels, *LABEL_SHARES
            )
        train, checks["duplicates_dropped"] = self._without_duplicates(folder, train, test)
        random = np.random.default_rng(seed)
        train = train.take(balanced_choice(train.labels, train_count, random, f"{self.name}: train"))
        evaluation = test.take(np.sort(balanced_choice(test.labels, evaluation_count, random, f"{self.name}: test")))
        checks["chosen_label_shares"] = class_shares(evaluation.labels, self.labels)
        return Splits(train, evaluation, train.take(slice(0, self.calibration)), checks)

    def _without_duplicates(self, folder: Path, train: Samples, test: Samples) -> tuple[Samples, int]:
        """Training samples that equal no test sample and none before them. The embedded ones must all pass."""
        duplicates = duplicate_mask(train.raw["picture"], test.raw["picture"])
        count = int(duplicates.sum())
        if count and self.path is None:
            raise DataError(f"{folder}: {count} training pictures are duplicates; allowed: 0; install inferlab again")
        return train.take(~duplicates), count


def _read(images: Path, labels: Path, names: tuple[str, ...]) -> Samples:
    pictures, classes = read_idx(images, 3), read_idx(labels, 1)
    if pictures.shape[1:] != (SIZE_PX, SIZE_PX):
        raise DataError(f"{images}: pictures of {pictures.shape[1:]} pixels; allowed: {SIZE_PX} by {SIZE_PX}")
    if len(pictures) != len(classes):
        raise DataError(f"{images} has {len(pictures)} pictures, {labels} has {len(classes)} labels")
    if classes.max(initial=0) >= len(names):
        raise DataError(f"{labels}: label {classes.max()} is not allowed; allowed: 0 to {len(names) - 1}")
    return Samples({"picture": pictures}, classes.astype("int64"))


def _require_count(path: Path, count: int, expected: int) -> None:
    if count != expected:
        raise DataError(f"{path} holds {count} pictures; allowed: {expected}")


def _checked_files(folder: Path, expected: dict[str, str] | None) -> dict[str, str]:
    digests = {}
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing; `path` must name a folder with the four IDX .gz files")
        digests[name] = file_digest(folder / name)
        if expected is not None and digests[name] != expected[name]:
            raise DataError(
                f"{folder / name} is damaged: its SHA-256 is {digests[name][:12]}…, not {expected[name][:12]}…"
            )
    return digests
