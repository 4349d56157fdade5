"""The parts of a concatenated file, each with its own timestamps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: Most frames that a codec (H.264, H.265) stores before an earlier shown one, plus that one.
REORDERED = 17


class Packet(NamedTuple):
    """The stored fields of a packet, in the stream's time base."""

    pts: int | None
    dts: int | None
    is_key: bool
    is_shown: bool = True
    number: int = 0  # among those of its stream, as they are stored


def split_parts(packets: Sequence[Packet], clock: int | None) -> list[list[Packet]]:
    """Split packets where their time begins again, as where files were joined.

    Some encoders write pts in place of dts, which go back a little at B-frames: that is no joint.
    """
    parts: list[list[Packet]] = [[]]
    passed: list[int] = []  # dts of the part
    for packet in packets:
        dts = packet.dts
        if dts is not None and passed:
            far = len(passed) >= REORDERED and dts < passed[-REORDERED]
            wrapped = clock is not None and dts - passed[-1] > clock // 2
            if wrapped or far or (packet.is_key and dts < passed[-1]):
                parts.append([])
                passed = []
        parts[-1].append(packet)
        if dts is not None:
            passed.append(dts)
    return parts


def decodable(part: list[Packet], is_first: bool) -> list[Packet]:
    """Drop packets before the first key frame; in later parts also those shown before it.

    A decoder that begins with the key frame drops what it cannot decode of the latter; one that
    comes from another part decodes them from frames of that.
    """
    start = next((i for i, packet in enumerate(part) if packet.is_key), 0)
    part = part[start:]
    if is_first or not part or None in {packet.pts for packet in part}:
        return part
    return [packet for packet in part if packet.pts >= part[0].pts]


def part_shifts(parts: list[list[int]], usual: int) -> list[int]:
    """Time offset of each part, so that each begins where the previous one ends.

    The last frame of a part is shown as long as the briefest frame of all, as in ``frame_times``.
    """
    steps = [np.diff(np.sort(part)) for part in parts]
    step = min((int(diff[diff > 0].min(initial=2**62)) for diff in steps), default=2**62)
    step = usual if step == 2**62 else step
    shifts, end = [], None
    for part in parts:
        shifts.append(0 if end is None else end - min(part))
        end = max(part) + shifts[-1] + step
    return shifts
