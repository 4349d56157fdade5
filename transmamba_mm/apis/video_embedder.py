"""Run a trained model on video files: embeddings of them, and their match with a text."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import DataLoader

from transmamba_mm.apis.video_clips import VideoClips
from transmamba_mm.datasets.video.check_videos import VideoCheck
from transmamba_mm.errors import UserError
from transmamba_mm.models.retrieval.dual_encoder import DualEncoder

BATCH = 8  # videos that are embedded at a time


class VideoEmbedder:
    """Embeds videos of a folder, and matches them with texts, in batches.

    Args:
        model (DualEncoder): The model.
        steps (Sequence[dict]): Of :func:`~transmamba_mm.apis.video_clips.video_pipeline`.
    """

    def __init__(self, model: DualEncoder, steps: Sequence[dict]) -> None:
        self.model, self.steps = model, steps

    def embed(
        self, root: str, paths: Sequence[str], jobs: int
    ) -> Iterator[tuple[list[VideoCheck], list[Tensor | None]]]:
        """Yield batches of checks and of vectors (D,), None for videos that cannot be read.

        Args:
            root (str): Folder of the videos.
            paths (Sequence[str]): Of the videos, below it.
            jobs (int): Processes that decode; 0 is this one.

        Raises:
            UserError: A fault that all videos share; embeddings that are not finite.
        """
        clips = VideoClips(root, paths, self.steps)
        for batch in DataLoader(clips, BATCH, num_workers=jobs, collate_fn=list):
            batch = [self._opened(found) for found in batch]
            samples = self.run([clip for _, clip in batch if clip is not None])
            vectors = (sample.video_embedding.float().cpu() for sample in samples)
            yield (
                [check for check, _ in batch],
                [None if clip is None else next(vectors) for _, clip in batch],
            )

    @torch.no_grad()
    def match(self, root: str, paths: Sequence[str], text: str) -> Tensor:
        """The re-ranker's scores (n,) of videos with a text, -inf of those that cannot be read.

        Args:
            root (str): Folder of the videos.
            paths (Sequence[str]): Of the videos, below it.
            text (str): The text.

        Raises:
            UserError: A fault that all videos share; embeddings that are not finite.
        """
        clips = VideoClips(root, paths, self.steps)
        scores = torch.full((len(paths),), -torch.inf)
        for start in range(0, len(clips), BATCH):
            batch = self._readable(clips, range(start, min(start + BATCH, len(clips))))
            patches = [sample.patches for sample in self.run(list(batch.values()))]
            if patches:
                found = self.model.match(patches, [text] * len(patches))
                scores[list(batch)] = found.float().cpu()
        return scores

    @torch.no_grad()
    def run(self, clips: list[dict]) -> list[DataSample]:
        """Predict clips as the test loop does."""
        if not clips:
            return []
        if len({clip['inputs'].shape for clip in clips}) > 1:  # a pipeline without a crop
            return [sample for clip in clips for sample in self.run([clip])]
        batch = {key: [clip[key] for clip in clips] for key in ('inputs', 'data_samples')}
        samples = self.model.test_step(batch)
        if not all(sample.video_embedding.isfinite().all() for sample in samples):
            raise UserError('Embeddings are not finite: the model has diverged.')
        return samples

    def _readable(self, clips: VideoClips, numbers: Iterable[int]) -> dict[int, dict]:
        """Clips by number, without those that cannot be read any more."""
        found = {}
        for number in numbers:
            check, clip = self._opened(clips[number])
            if clip is None:
                print_log(f'Left out: {check.message}', 'current', logging.WARNING)
            else:
                found[number] = clip
        return found

    @staticmethod
    def _opened(found: Any) -> tuple[VideoCheck, dict | None]:
        """An item of :class:`VideoClips`; what is wrong with all videos is raised."""
        if isinstance(found, UserError):
            raise found
        return found
