"""Videos are written the same, byte by byte, whatever memory held before."""

import numpy as np

from transmamba_mm.datasets.make_moving_digits import make_moving_digits


def test_the_same_frames_give_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)

    def write(folder) -> list[bytes]:
        list(make_moving_digits(folder, {'train': 20, 'test': 4}))
        return [path.read_bytes() for path in sorted(folder.rglob('*.mp4'))]

    first = write(tmp_path / 'first')
    assert len(first) == 24
    for name in 'abcd':
        for _ in range(100):  # leave memory full of something else to whoever asks for it next
            np.full(int(rng.integers(1_000, 100_000)), int(rng.integers(256)), np.uint8)
        assert write(tmp_path / name) == first
