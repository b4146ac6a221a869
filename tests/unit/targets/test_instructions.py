import pytest

from inferlab.targets.instructions import cpu_flags, has_bf16, has_bf16_tiles, has_vnni


def flags(text: str) -> frozenset[str]:
    return cpu_flags(f"model name\t: a CPU with avx_vnni in its name\nflags\t\t: fpu {text}\n\n")


def test_flags_are_those_of_the_line_of_flags() -> None:
    assert flags("sse2 avx2") == {"fpu", "sse2", "avx2"}
    assert cpu_flags("Features\t: asimd i8mm\n") == frozenset()


@pytest.mark.parametrize(
    ("text", "vnni", "bf16", "tiles"),
    [
        ("sse2 avx2 avx512f avx512bw", False, False, False),
        ("avx2 avx_vnni", True, False, False),
        ("avx512f avx512_vnni avx512_bf16", True, True, False),
        ("avx512f amx_bf16 amx_int8", True, True, True),
    ],
)
def test_instructions_are_read_from_the_flags(text: str, vnni: bool, bf16: bool, tiles: bool) -> None:
    found = flags(text)
    assert (has_vnni(found), has_bf16(found), has_bf16_tiles(found)) == (vnni, bf16, tiles)
