from __future__ import annotations

import base64

import pytest

from training.lzw import unpack_compress

TEXT = " ".join(str(number * number) for number in range(300)).encode()
# What the program compress makes of it: codes of 9 to 11 bits.
PACKED = base64.b64decode(
    "H52QMEDEAEEDRA6BNkDIqAFiRkIaB20UxDEwBoyAMWRUpFEwho2DMXIklLFQYY2ROA7OkFHQ4UAaFwnSeImjYA0ZB2vcSGijpI2d"
    "IG7gDFoTRM2BOWKKrAiDpUAYKQXGOCmQJMOMIgU6BMmx482KNmJ6pChwZ8eaIHM4VNiUoUaPCmXAOChjBoyCLGEMXBhTRti9N+4q"
    "xDFXYQ64dkvOiLF2JcSGDlvSIOsw5gyhA2fUbCnyIMysNKwSnEGVY1QaPQvS2PkyacAadwfWiFG0xsqcqxOeLKkTaI0cQ8MWTT1Q"
    "YkwbJ4sLLWgDR9TAVIWWvDEj642TB2/c4BgU+ECKMXHIIFtTolGJB52vTVrSe8Icnw2GLZiDMNOLGJvqfQqzI4ywIEEFVwwWlURg"
    "XQkRyBFIHplHoHMVaSRWXRpVVQN3Ge0EEk5ZMSYaYzRQxVhzIFXnVAwz2bARTBihNpNAkxU1FVYC2QbUVD1dVQMON6o4lEeadWSD"
    "RGC5VpZHFW134k5RxXBDDiKKZyBaCfL4kUBJYahWhSGFhVF9ZMnlEV53PSYXdSMV6BZjcGkEoEIhCUaSmHHBFhBJ9im0mJwzxFfX"
    "DW3CVBJLM6zFEnoKQWTeQuPtdVJfv1XoF0t4IXelXymNJJ1b11Elww3O0SUlXjgkN5iROLG0F5RFcThUYkDZlWNDc8XqoUpjtSTX"
    "i45Z9qmKkGXUUp9RFVpqQn2K1udvyCqqkm3ckYZZQypaJhFlzZl3GUsq7dQYYYodhaxzhZkoWHV/EYRfQP3tBxNhqmVUWIpwhdYW"
    "QYQ+NN5jNKxkXr/NvTRTTBx9JRN8qtl2ZYhPPtRTSahZSlBgp13n1GpLEVQTwc69CNG+BOUgVE56+fYfbxb5NtVQs9VnE6Wy4RST"
    "bS6BYJt4NoUW1YXX6XYTb9jppuKVJ0lkE6AV6uSlzYSRteNJNmWZE5RreekTDLPxZFFhKsLGnFz75XicXWGTJphxXIcIF3L3Iqcw"
    "CEPeFZGlzFGs3NIBV5gtdx95FFFnCQUmWmA9B5XRc7Q5JVTNI8dEHUcDUedyUCEOdR0MQPU8nYqZ/2S5UEVpdxRRLBKV8ZM3TXRR"
    "VIRJTJFoFDVsFILp4cQdDqRVeFR4qJF3k3mlonUewEYJzpCVcDknV3rkTgSfXg=="
)


def test_codes_of_growing_width_are_read() -> None:
    assert unpack_compress(PACKED) == TEXT


def test_a_clear_code_starts_the_table_anew() -> None:
    def write_run(codes: list[int]) -> bytes:
        """Nine-bit codes, filled up to a run of eight."""
        bits = sum(code << 9 * index for index, code in enumerate(codes))
        return bits.to_bytes(9, "little")

    packed = b"\x1f\x9d\x90" + write_run([97, 257, 256]) + write_run([98, 98])
    # The run's last, empty bits are zeros, which are codes too.
    assert unpack_compress(packed)[:5] == b"aaabb"


@pytest.mark.parametrize(
    "data", [b"", b"\x1f\x9d", b"\x1f\x8b\x08", b"\x1f\x9d\x90" + b"\xff" * 9], ids=["empty", "cut", "gzip", "codes"]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"compress|never defined"):
        unpack_compress(data)


@pytest.mark.parametrize("codes", [b"a", b"a" + bytes([98 << 1 & 255])], ids=["a whole byte left", "bits left"])
def test_a_file_that_ends_inside_a_code_is_refused(codes: bytes) -> None:
    """Codes of nine bits: 97, and then 98."""
    with pytest.raises(ValueError, match="ends inside a code"):
        unpack_compress(b"\x1f\x9d\x90" + codes)
