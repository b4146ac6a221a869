"""Registries: a thing is added by one file that registers itself, and a wrong name gets a suggestion."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from inferlab.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to things of one kind, found in the modules of one package.

    The package's modules are imported at the first look-up, so a new file registers itself without an edit elsewhere.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._things: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers a thing under `name`. Raises ValueError where the name is taken."""

        def decorate(thing: T) -> T:
            if name in self._things:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._things[name] = thing
            return thing

        return decorate

    def get(self, name: str) -> T:
        """The thing called `name`. Raises UnknownNameError with the known names and a near match."""
        self._load()
        if name not in self._things:
            raise UnknownNameError(self.kind, name, self._things)
        return self._things[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load()
        return sorted(self._things)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._things

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
