import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from inferlab.errors import MissingPackageError
from inferlab.packages import INSTALL_COMMAND, hidden, package_file


def test_a_file_is_found_without_importing_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "weights_that_fail_to_import"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "weights.bin").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package_file("weights_that_fail_to_import", "weights.bin", "tests") == package / "weights.bin"


@pytest.mark.parametrize(("package", "file"), [("no_such_package", "weights.bin"), ("inferlab", "no_such_file")])
def test_what_is_missing_is_named_with_the_command(package: str, file: str) -> None:
    with pytest.raises(MissingPackageError) as caught:
        package_file(package, file, "weights of a model")
    assert str(caught.value) == (
        f"package '{package}' is not installed (weights of a model); install it with: {INSTALL_COMMAND}"
    )


def test_what_is_hidden_is_found_again_after_an_error_and_what_is_imported_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "carried.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="carried"), hidden("carried", "pathlib"):
        assert find_spec("carried") is None
        assert find_spec("pathlib") is not None
        importlib.import_module("carried")
    assert find_spec("carried") is not None
    assert sys.modules["pathlib"].Path is Path
