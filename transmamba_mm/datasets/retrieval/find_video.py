"""Find the file of a video by its name."""

import os
from collections.abc import Sequence

from transmamba_mm.datasets.video.container import VIDEO_SUFFIXES


class VideoFinder:
    """Finds videos by names that may lack their suffix, or have one that the file has not.

    A folder is listed once, as asking for each of 10,000 files takes long on a network disk.

    Args:
        root (str): Folder that the names are below.
        suffixes (Sequence[str]): What a file may end in, the first that exists wins.
    """

    def __init__(self, root: str, suffixes: Sequence[str] = VIDEO_SUFFIXES) -> None:
        self.root = root
        self.suffixes = tuple(suffixes)
        self._listed: dict[str, set[str]] = {}

    def __call__(self, name: str) -> tuple[str, bool]:
        """Return the path of ``name``, a file or a folder of frames, and whether it exists.

        The candidates are the name itself, with a suffix, with another suffix, and without one;
        if none exists, the first candidate is returned.
        """
        folder, base = os.path.split(os.path.join(self.root, name))
        stem, suffix = os.path.splitext(base)
        named = suffix.lower() in VIDEO_SUFFIXES  # else the dot is a part of the name
        stems = (base, stem) if named else (base,)
        there = self._names(folder)
        for found in (base, *(each + end for each in stems for end in self.suffixes), stems[-1]):
            if found in there:
                return os.path.join(folder, found), True
        return os.path.join(folder, base if named else base + self.suffixes[0]), False

    def _names(self, folder: str) -> set[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = set(os.listdir(folder))
            except OSError:
                self._listed[folder] = set()
        return self._listed[folder]
