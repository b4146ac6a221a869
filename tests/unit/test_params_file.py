import re
from pathlib import Path

import pytest

from inferlab.errors import UserError
from inferlab.params_file import read_sections

NAMES = ("run", "serve")


def test_sections_are_read_as_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("run: &run {seed: 10.5, names: [a, b], none: null}\nserve: *run\n")
    row = {"seed": 10.5, "names": ["a", "b"], "none": None}
    assert read_sections(path, NAMES) == {"run": row, "serve": row}


def test_a_key_that_stands_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("run:\n  seed: 1\n  profile: full\n  seed: 2\n")
    with pytest.raises(UserError, match=r"seed stands in line 2 and again in line 4"):
        read_sections(path, NAMES)


BOMB = "a0: &a0 []\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9))
UNREADABLE: dict[str, tuple[str, str]] = {
    "a list that does not end": ("run: [", "not YAML"),
    "a list": ("- a\n", "sections"),
    "nothing": ("", "sections"),
    "a tabulator": ("\tx: 1", "not YAML"),
    "a date that is none": ("run:\n  seed: 2020-13-45\n", "line 2"),
    "a tag that the value does not fit": ("run:\n  seed: !!bool x\n", "line 2"),
    "minutes and seconds": ("run:\n  seed: 1:30\n", "'1:30'"),
    "an octal number": ("run:\n  seed: 017\n", "'017'"),
    "a number of base 16": ("run:\n  seed: 0x1f\n", "'0x1f'"),
    "a number of too many digits": (f"run:\n  seed: {'9' * 5000}\n", "line 2"),
    "a list as a key": ("? [a]\n: 1\n", "not YAML"),
    "lists in lists": ("[" * 3000, "nested"),
    "a mapping that holds itself": ("run: &run\n  seed: *run\n", "nested"),
    "a list that holds itself": ("run: &run [*run, *run]\n", "nested"),
    "values that multiply": (BOMB, "values"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_holds_no_plain_sections_is_the_users_error(tmp_path: Path, case: str) -> None:
    path = tmp_path / "params.yaml"
    content, words = UNREADABLE[case]
    path.write_text(content)
    with pytest.raises(UserError, match=re.escape(words)):
        read_sections(path, NAMES)


def test_a_folder_in_the_files_place_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        read_sections(tmp_path / "params.yaml", NAMES)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="repository's root"):
        read_sections(tmp_path / "params.yaml", NAMES)
