"""Event files that TensorBoard reads: the format by its published vectors, the numbers by reading them back."""

import struct

import pytest
from training_cast import echo_rows, events, finished

from training.tensorboard import crc32c, masked, record, varint


def read(path) -> list[tuple[int, dict[str, float]]]:
    """(step, {tag: value}) of each event with a summary; checks every sum, as TensorBoard's reader does."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        assert struct.unpack_from("<I", data, 8)[0] == masked(data[:8])
        event, data = data[12 : 12 + length], data[12 + length :]
        assert struct.unpack_from("<I", data)[0] == masked(event)
        data = data[4:]
        fields = parsed(event)
        if 5 in fields:
            values = [parsed(value) for value in parsed_all(fields[5])]
            found.append((fields[2], {value[1].decode(): value[2] for value in values}))
    return found


def number(data: bytes) -> tuple[int, bytes]:
    found, shift = 0, 0
    while True:
        byte, data = data[0], data[1:]
        found |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return found, data


def pieces(data: bytes):
    while data:
        key, data = number(data)
        if key & 7 == 0:
            value, data = number(data)
        elif key & 7 == 1:
            value, data = struct.unpack_from("<d", data)[0], data[8:]
        elif key & 7 == 5:
            value, data = struct.unpack_from("<f", data)[0], data[4:]
        else:
            size, data = number(data)
            value, data = data[:size], data[size:]
        yield key >> 3, value


def parsed(data: bytes) -> dict:
    return dict(pieces(data))


def parsed_all(data: bytes) -> list[bytes]:
    return [value for key, value in pieces(data) if key == 1]


def test_the_sum_is_the_one_of_the_standard():
    """RFC 3720, appendix B.4, and the usual check value."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert [varint(value) for value in (0, 127, 128, 300)] == [b"\x00", b"\x7f", b"\x80\x01", b"\xac\x02"]
    assert len(record(b"abc")) == 8 + 4 + 3 + 4


def test_a_run_leaves_the_metrics_of_its_events(run_dir):
    folder = run_dir("sft", {"train": echo_rows(), "validation": echo_rows()[:4]}, {"max_steps": 200})
    finished(folder)
    (path,) = (folder / "tensorboard").glob("events.out.tfevents.*")
    found, expected = read(path), events(folder, "metric")
    assert len(found) == len(expected)
    for (step, values), event in zip(found, expected, strict=True):
        assert step == event["step"]
        assert values == pytest.approx(
            {f"{event['split']}/{name}": value for name, value in event["values"].items()}, rel=1e-6
        )
