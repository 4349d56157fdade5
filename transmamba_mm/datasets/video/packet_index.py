"""Index the packets of a video: its frames, their times, and the key frames."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from transmamba_mm.datasets.video.packet_parts import Packet, decodable, part_shifts, split_parts
from transmamba_mm.datasets.video.reader import frame_times

#: The clock of a TS or MPG file has 33 bits; FFmpeg takes a jump back for a wrap, adding 2 ** 33.
CLOCKS = {'mpegts': 2**33, 'mpeg': 2**33}


class PacketIndex:
    """The frames of a stream, in the order in which they are shown.

    Files that were joined byte by byte (``cat a.ts b.ts``) begin to count time again at each joint,
    so a time names several frames. Each part's times are moved behind those of the part before.

    Frames stored before the first key frame of a part cannot be decoded and are left out.

    Args:
        packets: In the order in which they are stored.
        format_name: FFmpeg's name of the container.
        time_base, rate: Of the stream; the rate is 0 if it is unknown.

    Attributes:
        is_timed (bool): Whether all packets have a time of their own; else frames are counted.
        stamps (list[int]): (N,) when each is shown, ascending, or its number.
        keys (list[int]): Frames that decoding can begin at, ascending.
        starts (dict[int, int]): The number of each of their packets.
        seeks (dict[int, int]): The time that leads to each of them, in its own container.
        moved (dict[int, tuple[int | None, int | None]]): Of joined files, pts and dts of each
            packet by its number; empty for other files.
        first (int): The packet that decoding begins with.
        leading (int): Frames stored after the first key frame and shown before it; many
            of them need frames from before it.
    """

    def __init__(
        self, packets: Sequence[Packet], format_name: str, time_base: Fraction, rate: float
    ) -> None:
        parts = split_parts(packets, CLOCKS.get(format_name))
        parts = [decodable(part, is_first=not i) for i, part in enumerate(parts)]
        parts = [part for part in parts if any(packet.is_shown for packet in part)]
        found = [packet for part in parts for packet in part]
        # AVI has no times, or with B-frames wrong ones: frames are counted from the start
        self.is_timed = format_name != 'avi' and all(packet.pts is not None for packet in found)
        has_dts = all(packet.dts is not None for packet in found)
        shifts = [0] * len(parts)
        if self.is_timed or has_dts:
            shifts = part_shifts(
                [
                    [packet.pts if self.is_timed else packet.dts for packet in part]
                    for part in parts
                ],
                round(1 / (rate * time_base)) if rate else 1,
            )
        pairs = zip(parts, shifts, strict=True)
        found = [_moved(packet, shift) for part, shift in pairs for packet in part]
        self.first = found[0].number if found else 0
        shown = [packet for packet in found if packet.is_shown]
        self.moved: dict[int, tuple[int | None, int | None]] = {}
        if len(parts) > 1:
            self.moved = {packet.number: (packet.pts, packet.dts) for packet in found}
        self.keys: list[int] = []
        self.starts: dict[int, int] = {}
        self.seeks: dict[int, int] = {}
        self.leading = 0
        if self.is_timed and shown:
            key_pts = found[0].pts  # the first key frame, where there is one
            shown.sort(key=lambda packet: packet.pts)
            self.stamps = [packet.pts for packet in shown]
            self.leading = sum(stamp < key_pts for stamp in self.stamps)
            # behind a time that two frames have it would be open which of them comes first
            count = Counter(self.stamps)
            keys = {
                index: packet
                for index, packet in enumerate(shown)
                if packet.is_key and count[packet.pts] == 1
            }
            self.keys = list(keys)
            self.starts = {index: packet.number for index, packet in keys.items()}
            # with a TS or MPG file FFmpeg searches by dts, which are earlier
            by_dts = format_name in CLOCKS and None not in {p.dts for p in keys.values()}
            self.seeks = {i: packet.dts if by_dts else packet.pts for i, packet in keys.items()}
        else:
            self.stamps = list(range(len(shown)))
        self.times = self._seconds(shown, float(time_base), rate)

    def drop(self, count: int) -> None:
        """Leave out the first ``count`` frames."""
        if not count:
            return
        self.stamps = self.stamps[count:]
        self.starts = {i - count: number for i, number in self.starts.items() if i >= count}
        self.seeks = {i - count: time for i, time in self.seeks.items() if i >= count}
        self.keys = list(self.starts)
        if self.times is not None:
            self.times = self.times[count:] - self.times[count]

    def _seconds(self, shown: list[Packet], base: float, rate: float) -> np.ndarray | None:
        """``times`` of a reader, by dts where pts are no times."""
        if not shown:
            return None
        stamps = self.stamps if self.is_timed else [packet.dts for packet in shown]
        if None not in stamps:
            return frame_times(np.sort(stamps) * base)
        return np.arange(len(shown) + 1) / rate if rate else None


def _moved(packet: Packet, shift: int) -> Packet:
    pts, dts = (None if time is None else time + shift for time in (packet.pts, packet.dts))
    return packet._replace(pts=pts, dts=dts)
