import sys
from pathlib import Path

import pytest

from inferlab.errors import UnknownNameError
from inferlab.registry import Registry


@pytest.fixture
def animals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    package = tmp_path / "zoo_of_registry"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from inferlab.registry import Registry\nANIMALS = Registry('animal', __name__)\n"
    )
    (package / "cats.py").write_text("from zoo_of_registry import ANIMALS\nANIMALS.register('lynx')('a lynx')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("zoo_of_registry")]:
        monkeypatch.delitem(sys.modules, name)
    from zoo_of_registry import ANIMALS

    return ANIMALS


def test_a_new_file_registers_itself(animals: Registry[str]) -> None:
    assert animals.get("lynx") == "a lynx"
    assert animals.names() == ["lynx"]
    assert "lynx" in animals
    assert list(animals) == ["lynx"]


def test_a_wrong_name_gets_the_known_names_and_a_near_match(animals: Registry[str]) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown animal 'linx'; known: lynx\. Did you mean 'lynx'"):
        animals.get("linx")


def test_a_taken_name_is_refused(animals: Registry[str]) -> None:
    animals.names()
    with pytest.raises(ValueError, match="registered twice"):
        animals.register("lynx")("another")
