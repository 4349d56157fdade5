"""Draw the results of a search: a row of frames for each video."""

import os
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from transmamba_mm.apis.search_videos import Hit
from transmamba_mm.datasets.video.open_video import open_video
from transmamba_mm.datasets.video.resize import resize_frames
from transmamba_mm.datasets.video.sampling import FrameSampler
from transmamba_mm.datasets.video.video_error import VideoError
from transmamba_mm.plots import STYLE, save_figure

HEIGHT, GAP = 128, 4  # pixels of a frame, and between two
WIDTH = 8  # inches
LINE = 70  # characters of a heading that fit into it
ROWS = 40  # drawn hits of a text


def draw_hits(
    found: Mapping[str, Sequence[Hit]], folder: str | Path, path: str | Path, frames: int = 5
) -> None:
    """Draw the hits of each text: rank, score, name, and some frames.

    Args:
        found: Text -> hits, the best first; at most ``ROWS`` of each are drawn.
        folder: Of the videos.
        path: The PNG to write.
        frames: How many of each video, at even distances.

    A video that can no longer be read has a gray strip.
    """
    strips = {
        text: [film_strip(os.path.join(folder, hit.path), frames) for hit in hits[:ROWS]]
        for text, hits in found.items()
    }
    width = max(5 * HEIGHT, *(strip.shape[1] for rows in strips.values() for strip in rows))
    counts = [len(rows) for rows in strips.values()]
    with plt.rc_context(STYLE):
        row = WIDTH * HEIGHT / width + 0.35  # inches of frames and of the title above them
        figure = plt.figure(figsize=(WIDTH, row * sum(counts) + 0.5 * len(counts)))
        parts = figure.subfigures(len(counts), 1, height_ratios=counts, squeeze=False)
        for part, (text, rows) in zip(parts[:, 0], strips.items(), strict=True):
            part.suptitle(_heading(text), weight='bold', parse_math=False)
            panels = part.subplots(len(rows), 1, squeeze=False)[:, 0]
            for rank, (axes, strip) in enumerate(zip(panels, rows, strict=True), 1):
                margin = ((0, 0), (0, width - strip.shape[1]), (0, 0))
                axes.imshow(np.pad(strip, margin, constant_values=255))
                axes.axis('off')
                title = axes.set_title(_label(rank, found[text][rank - 1]), loc='left', fontsize=9)
                title.set_parse_math(False)  # a name may hold two dollars
        with warnings.catch_warnings():
            # a missing glyph shows as a box and needs no warning
            warnings.filterwarnings('ignore', message='Glyph')
            save_figure(figure, path)


def film_strip(video: str, frames: int) -> np.ndarray:
    """Frames of a video beside each other: (``HEIGHT``, W, 3), uint8."""
    try:
        with open_video(video) as opened:
            places, is_real = FrameSampler(frames)(len(opened), opened.times)
            pictures = opened.read(places[is_real], HEIGHT)
    except VideoError:
        return np.full((HEIGHT, 2 * HEIGHT, 3), 200, np.uint8)
    height, width = pictures.shape[1:3]
    pictures = resize_frames(pictures, (HEIGHT, max(1, round(HEIGHT * width / height))))
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)


def _heading(text: str) -> str:
    """At most two lines; matplotlib's own would take a dollar for mathematics."""
    return '\n'.join(textwrap.wrap(text, LINE, max_lines=2, placeholder=' ...'))


def _label(rank: int, hit: Hit) -> str:
    match = '' if hit.match is None else f'    match {hit.match:.2f}'
    path = os.fsencode(hit.path).decode(errors='replace')  # a name need not be UTF-8
    return f'{rank}    {hit.score:.3f}{match}    {path}'
