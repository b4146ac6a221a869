import logging

import pytest

from inferlab.quiet import quiet_import


def test_warnings_are_kept_back_and_levels_come_back(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test_quiet")
    logger.setLevel(logging.INFO)
    with pytest.raises(ValueError, match="from the import"), quiet_import("test_quiet"):
        logger.warning("noise")
        logger.error("signal")
        raise ValueError("from the import")
    logger.info("after")
    assert [record.message for record in caplog.records] == ["signal", "after"]
