from inferlab import errors


def test_every_exception_is_drawn_in_the_tree() -> None:
    classes = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, Exception)]
    assert errors.InferlabError in classes
    for cls in classes:
        assert issubclass(cls, errors.InferlabError)
        assert cls.__name__ in (errors.__doc__ or "")


def test_exit_codes_tell_the_users_errors_from_ours() -> None:
    assert errors.ParamsError("run.seed", "x", "an integer").exit_code == 2
    assert errors.ArtifactError("x").exit_code == 1


def test_a_near_match_is_offered_only_where_one_is_near() -> None:
    assert errors.near_match("prunde", ["pruned", "sparse"]) == "pruned"
    assert errors.near_match("zzz", ["pruned", "sparse"]) is None
    assert "Did you mean" not in str(errors.UnknownNameError("target", "zzz", ["cpu-eager"]))
