"""The file of a form (multipart/form-data, RFC 7578), read by python-multipart."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from inferlab.serve.tensors import ProtocolError

MOST_PARTS = 16
LONGEST_BOUNDARY = 200
"""Characters; RFC 2046 allows 70."""


class _Parts:
    """The content of each part, and whether it has a file name, as the parser finds them."""

    def __init__(self) -> None:
        self.found: list[tuple[bool, bytearray]] = []
        self.whole = False
        self._name = bytearray()
        self._value = bytearray()

    def on_part_begin(self) -> None:
        if len(self.found) == MOST_PARTS:
            raise ProtocolError("body", f"more than {MOST_PARTS} parts", f"at most {MOST_PARTS}")
        self.found.append((False, bytearray()))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.found[-1][1].extend(data[start:end])

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name.extend(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value.extend(data[start:end])

    def on_header_end(self) -> None:
        if bytes(self._name).lower() == b"content-disposition":
            _, parameters = parse_options_header(bytes(self._value))
            self.found[-1] = (b"filename" in parameters, self.found[-1][1])
        self._name.clear()
        self._value.clear()

    def on_end(self) -> None:
        self.whole = True


def only_file(body: bytes, content_type: bytes) -> bytes:
    """The content of the one part that has a file name, or of the only part. Raises ProtocolError."""
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise ProtocolError("Content-Type", "no boundary", "multipart/form-data; boundary=…")
    parts = _Parts()
    names = ("on_part_begin", "on_part_data", "on_header_field", "on_header_value", "on_header_end", "on_end")
    parser = MultipartParser(boundary, {name: getattr(parts, name) for name in names})  # type: ignore[arg-type]
    try:
        parser.write(body)
    except FormParserError as error:
        raise ProtocolError("body", str(error), "parts between the boundary that Content-Type names") from None
    if not parts.whole:
        raise ProtocolError("body", "no last boundary", "parts between the boundary that Content-Type names")
    files = [content for is_file, content in parts.found if is_file] or [content for _, content in parts.found]
    if len(files) != 1:
        raise ProtocolError("body", f"{len(files)} files", "one")
    return bytes(files[0])
