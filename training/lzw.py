"""Unpacks the output of Unix `compress`, in which the pen strokes are published and which Python cannot read.

Source: T. Welch, A Technique for High-Performance Data Compression, IEEE Computer 17(6), 1984; the file's layout as
ncompress writes it.
"""

from __future__ import annotations

MAGIC = b"\x1f\x9d"
HEADER_BITS = 24
FIRST_WIDTH = 9
CLEAR = 256
"""The code that starts the table anew, where bit 7 of the third byte says that there is one."""


def unpack_compress(data: bytes) -> bytes:
    """Unpack a `.Z` file. Raises `ValueError` where it is none, is damaged, or ends inside a code."""
    if data[:2] != MAGIC or len(data) < HEADER_BITS // 8:
        raise ValueError("not in the format of compress")
    widest, has_clear = data[2] & 31, bool(data[2] & 128)
    table = start_table(has_clear)
    unpacked: list[bytes] = []
    previous, width, run_start, position = b"", FIRST_WIDTH, HEADER_BITS, HEADER_BITS
    while position + width <= 8 * len(data):
        code = read_code(data, position, width)
        position += width
        if has_clear and code == CLEAR:
            position = run_start = align(position, run_start, width)
            table, previous, width = start_table(has_clear), b"", FIRST_WIDTH
            continue
        entry = look_up(table, code, previous)
        unpacked.append(entry)
        if previous and len(table) < 1 << widest:
            table.append(previous + entry[:1])
            if len(table) == 1 << width and width < widest:
                position = run_start = align(position, run_start, width)
                width += 1
        previous = entry
    # The last code ends in the last byte, whose other bits are zeros.
    rest = 8 * len(data) - position
    if rest >= 8 or (rest > 0 and data[-1] >> 8 - rest):
        raise ValueError("ends inside a code")
    return b"".join(unpacked)


def start_table(has_clear: bool) -> list[bytes]:
    """List what each code stands for at first."""
    return [bytes([value]) for value in range(256)] + [b""] * has_clear


def read_code(data: bytes, position: int, width: int) -> int:
    """Read `width` bits, lowest first."""
    byte, shift = divmod(position, 8)
    return int.from_bytes(data[byte : byte + 4], "little") >> shift & (1 << width) - 1


def look_up(table: list[bytes], code: int, previous: bytes) -> bytes:
    """Give what a code stands for, which may be the entry that is just being made. Raises `ValueError`."""
    if code < len(table):
        return table[code]
    if code == len(table) and previous:
        return previous + previous[:1]
    raise ValueError("a code that was never defined")


def align(position: int, run_start: int, width: int) -> int:
    """Go on to where the next run of another width starts: codes are written by eights."""
    block = 8 * width
    return run_start + -(-(position - run_start) // block) * block
