from pathlib import Path

import pytest

from inferlab.errors import MissingPackageError
from inferlab.packages import INSTALL_COMMAND, package_file


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
