"""Metrics as TensorBoard reads them, by hand: its package brings a dozen others for what is a few bytes a number.

A file is a row of records: length (u64), masked CRC-32C of the length, data, masked CRC-32C of the data, little-endian
(tensorflow/core/lib/io/record_writer.h). The data is an Event in protocol buffers (tensorflow/core/util/event.proto):
wall_time = 1 (double), step = 2 (int64), file_version = 3 (string), summary = 5; a summary holds values = 1, each a
tag = 1 (string) and a simple_value = 2 (float).
"""

import os
import socket
import struct
import time
from functools import cache
from pathlib import Path

VERSION = b"brain.Event:2"


def scalars_append(folder: Path, step: int, values: dict[str, object]) -> None:
    """Append a step's numbers, by tag, to this process's event file in the folder; what is no number is passed over."""
    numbers = {tag: value for tag, value in values.items() if isinstance(value, int | float)}
    path = _file(folder)
    if not path.exists():
        folder.mkdir(exist_ok=True)
        path.write_bytes(record(_event(field(3, VERSION))))
    summary = b"".join(
        field(1, field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)) for tag, value in numbers.items()
    )
    with path.open("ab") as file:
        file.write(record(_event(b"\x10" + varint(step) + field(5, summary))))


@cache
def _file(folder: Path) -> Path:
    """The event file of this process and folder, named as TensorBoard names them."""
    return folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.0"


def _event(rest: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", time.time()) + rest


def varint(number: int) -> bytes:
    """A whole number from 0 in groups of seven bits, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def field(number: int, content: bytes) -> bytes:
    """A field that holds bytes: a text or another message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))


def masked(data: bytes) -> int:
    """CRC-32C, turned by 15 bits and moved, as a record holds it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), RFC 3720, appendix B.4."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@cache
def _table() -> list[int]:
    found = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 if crc & 1 else crc >> 1
        found.append(crc)
    return found
