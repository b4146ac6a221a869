from pathlib import Path

import pytest

from inferlab.errors import ArtifactError
from inferlab.files import check_digests, digest_of, digests_of_folder, whole_file


def test_checksums_find_a_damaged_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "weights.bin").write_bytes(b"abc")
    (tmp_path / "artifact.json").write_text("{}")
    digests = digests_of_folder(tmp_path, leave_out=frozenset({"artifact.json"}))
    assert list(digests) == ["sub/weights.bin"]
    check_digests(tmp_path, digests)
    (tmp_path / "sub" / "weights.bin").write_bytes(b"abd")
    with pytest.raises(ArtifactError, match=r"sub/weights\.bin is damaged"):
        check_digests(tmp_path, digests)
    (tmp_path / "sub" / "weights.bin").unlink()
    with pytest.raises(ArtifactError, match=r"sub/weights\.bin is missing"):
        check_digests(tmp_path, digests)


def test_a_manifest_may_not_name_files_outside_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="outside the folder"):
        check_digests(tmp_path / "artifact", {"../secret": "0"})


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_digests_do_not_depend_on_key_order() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
