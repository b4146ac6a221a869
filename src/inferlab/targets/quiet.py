"""What engines say while they are imported or compile, and a user can do nothing about."""

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings inside the block, neither Python's nor logged ones.

    torch deprecates what it uses itself; torchao and torch's exporter to ONNX log which optional packages they miss.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
