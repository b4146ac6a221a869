import logging
import warnings

import pytest

from inferlab.targets.quiet import quiet


def test_warnings_are_silent_inside_and_errors_are_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "engine")
    with quiet():
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.getLogger("engine").warning("a package is missing")
        logging.getLogger("engine").error("broken")
    assert caplog.messages == ["broken"]


def test_they_are_back_after_a_block_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "engine")  # whatever an engine imported before has set
    with pytest.raises(ValueError, match="wrong"), quiet():
        raise ValueError("wrong")
    logging.getLogger("engine").warning("heard")
    assert caplog.messages == ["heard"]
    with pytest.raises(DeprecationWarning):
        warnings.warn("old", DeprecationWarning, stacklevel=1)
