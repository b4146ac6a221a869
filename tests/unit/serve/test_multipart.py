import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferlab.serve.multipart import only_file
from inferlab.serve.tensors import ProtocolError

FORM = b"multipart/form-data; boundary=XbX"


def part(content: bytes, name: str = "image", file: str | None = "a.png") -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file}"' if file else "")
    return f"--XbX\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


@given(st.binary(max_size=2000))
def test_any_bytes_come_back(content: bytes) -> None:
    if b"--XbX" not in content:
        assert only_file(part(content) + b"--XbX--\r\n", FORM) == content


@pytest.mark.parametrize("content", [b"a\rb", b"a\r\nb", b"a\nb", b"\x0b\x0c\x1c\x85", b"\r\n\r\n", b"x\r\n", b""])
def test_line_ends_of_every_kind_stay(content: bytes) -> None:
    assert only_file(part(b"text", "note", None) + part(content) + b"--XbX--\r\n", FORM) == content


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_garbage_is_a_protocol_error_or_a_file_and_nothing_else(body: bytes, parameters: bytes) -> None:
    try:
        assert isinstance(only_file(body, b"multipart/form-data;" + parameters), bytes)
    except ProtocolError as error:
        assert "expected" in str(error)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no last boundary"),
        (part(b"1"), "no last boundary"),
        (b"x" + part(b"1"), "body: "),
        (part(b"1") + part(b"2") + b"--XbX--", "2 files"),
        (b"".join(part(b"1", file=None) for _ in range(17)) + b"--XbX--", "more than 16 parts"),
    ],
)
def test_what_is_not_one_file_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        only_file(body, FORM)


@pytest.mark.parametrize("content_type", [b"multipart/form-data", b"multipart/form-data; boundary=", b";;;", b"\xff="])
def test_a_form_without_a_boundary_is_refused(content_type: bytes) -> None:
    with pytest.raises(ProtocolError, match="no boundary"):
        only_file(part(b"1") + b"--XbX--", content_type)
