"""Make the Fashion-MNIST that inferlab carries, from the whole set.

    python scripts/embed_fashion_mnist.py SOURCE

SOURCE is a folder with the four IDX .gz files (Debian: package dataset-fashion-mnist, which puts them into
/usr/share/datasets/fashion-mnist). All test images are kept, and 1,200 training images of each class, drawn with a
fixed seed from those that are neither equal to each other nor to a test image. Prints the checksums that
src/inferlab/data/fashion_mnist.py holds.
"""

import argparse
from pathlib import Path

import numpy as np

from inferlab.data.checks import duplicate_mask
from inferlab.data.fashion_mnist import EMBEDDED, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from inferlab.data.idx import read_idx, write_idx
from inferlab.files import file_digest

IMAGES_PER_CLASS = 1200
SEED = 2017


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    source = parser.parse_args().source
    images, labels = read_idx(source / TRAIN_IMAGES, 3), read_idx(source / TRAIN_LABELS, 1)
    test_images, test_labels = read_idx(source / TEST_IMAGES, 3), read_idx(source / TEST_LABELS, 1)
    candidates = np.flatnonzero(~duplicate_mask(images, test_images))
    random = np.random.default_rng(SEED)
    drawn = [
        random.choice(candidates[labels[candidates] == label], IMAGES_PER_CLASS, replace=False)
        for label in np.unique(labels)
    ]
    index = np.sort(np.concatenate(drawn))
    EMBEDDED.mkdir(parents=True, exist_ok=True)
    for name, array in (
        (TRAIN_IMAGES, images[index]),
        (TRAIN_LABELS, labels[index]),
        (TEST_IMAGES, test_images),
        (TEST_LABELS, test_labels),
    ):
        write_idx(EMBEDDED / name, array)
        print(f'    "{name}": "{file_digest(EMBEDDED / name)}",')


if __name__ == "__main__":
    main()
