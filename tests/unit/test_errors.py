import importlib
import pkgutil
import re
from collections.abc import Iterator

import inferlab
from inferlab import errors


def every_exception(root: type[errors.InferlabError]) -> Iterator[type[errors.InferlabError]]:
    yield root
    for cls in root.__subclasses__():
        yield from every_exception(cls)


def test_every_exception_is_drawn_in_the_tree() -> None:
    for module in pkgutil.walk_packages(inferlab.__path__, "inferlab."):
        importlib.import_module(module.name)
    names = {cls.__name__ for cls in every_exception(errors.InferlabError)}
    drawn = set(re.findall(r"(?m)^[│├└─ ]*(\w+)  ", errors.__doc__ or ""))
    assert names == drawn


def test_exit_codes_tell_the_users_errors_from_ours() -> None:
    assert errors.ParamsError("run.seed", "x", "an integer").exit_code == 2
    assert errors.ArtifactError("x").exit_code == 1


def test_a_near_match_is_offered_only_where_one_is_near() -> None:
    assert errors.near_match("prunde", ["pruned", "sparse"]) == "pruned"
    assert errors.near_match("zzz", ["pruned", "sparse"]) is None
    assert "Did you mean" not in str(errors.UnknownNameError("target", "zzz", ["cpu-eager"]))
