"""Search a folder for the videos that match a text, with a trained model."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import LongTensor, Tensor

from transmamba_mm.apis.trained_model import load_trained
from transmamba_mm.apis.video_clips import video_pipeline
from transmamba_mm.apis.video_embedder import VideoEmbedder
from transmamba_mm.apis.video_index import VideoIndex, file_stat, search_index, weights_hash
from transmamba_mm.checkpoint import resolve_checkpoint
from transmamba_mm.checks import COUNT, check
from transmamba_mm.datasets.annotations import is_unicode
from transmamba_mm.datasets.video.check_videos import VideoCheck
from transmamba_mm.datasets.video.find_videos import find_videos
from transmamba_mm.errors import UserError
from transmamba_mm.evaluation.reranking import rerank
from transmamba_mm.launch.data_config import fit_to_model
from transmamba_mm.models.hf.tokenizers import split_words
from transmamba_mm.models.retrieval.dual_encoder import DualEncoder


@dataclass(frozen=True)
class Hit:
    """A hit of a search.

    Attributes:
        path (str): Below the folder.
        score (float): Cosine with the text.
        match (float, optional): The re-ranker's score of the two, if it ran.
    """

    path: str
    score: float
    match: float | None = None


@dataclass(frozen=True)
class IndexReport:
    """Result of an update of the index; ``checks`` are of the videos it opened."""

    checks: list[VideoCheck]
    kept: int
    gone: int
    skipped: Counter[str]


def check_texts(texts: Sequence[str]) -> None:
    """Reject what no text encoder can read.

    Raises:
        UserError: A text is empty, or has bytes that are not UTF-8, as a terminal may pass them.
    """
    for text in texts:
        if not text.strip():
            raise UserError('A text is empty: describe what the video shows.')
        if not is_unicode(text):
            raise UserError(f'The text {text!r:.80} is not valid UTF-8 text: write it in UTF-8.')


class VideoSearch:
    """Search a folder of videos by text, with a trained model.

    ::

        search = VideoSearch('work_dirs/videomamba-nano_clip-nano_movingdigits')
        search.index('videos')  # embeds what is new, and remembers it
        search(['a large seven moves left'])[0][0].path

    Videos go through the test pipeline of the model's config, from its ``DecodeVideo`` on, whatever
    their shape: see :func:`~transmamba_mm.launch.data_config.fit_to_model`.

    Args:
        checkpoint (str): A file, a work_dir or a URL; a transfer's or an exported student's.
        config (str, optional): By default the one that this user's training or export left beside
            the checkpoint; any other has to be named, since a config is executed.
        device (str, optional): By default the fastest there is.

    Raises:
        UserError: No config, a checkpoint that does not fit it, a model that retrieves nothing, a
            test pipeline that decodes no videos.
    """

    def __init__(
        self, checkpoint: str, config: str | None = None, device: str | None = None
    ) -> None:
        self.model, cfg = load_trained(
            checkpoint,
            config,
            device,
            DualEncoder,
            'retrieves no videos: name the config of a VideoTextRetriever or a Clip4ClipTeacher.',
        )
        self.work_dir = resolve_checkpoint(checkpoint).parent
        steps = fit_to_model(video_pipeline(cfg), self.model)
        self._maker = weights_hash(self.model, [steps, cfg.model.get('data_preprocessor')])
        self._videos = VideoEmbedder(self.model, steps)
        self._index: VideoIndex | None = None
        self.folder = Path()

    def index(
        self,
        folder: str | Path,
        file: str | Path | None = None,
        rebuild: bool = False,
        jobs: int = 0,
        save_every: int = 100,
        on_video: Callable[[VideoCheck, int], None] | None = None,
    ) -> IndexReport:
        """Embed the videos below a folder that are new or have changed; forget those that are gone.

        An interrupted run continues from its last save. Videos that cannot be read are left out
        and tried again the next time.

        Args:
            folder: Of videos and of folders of frames.
            file: Of the index; by default beside the checkpoint, one for each folder.
            rebuild: Embed everything again, also where another model made the index.
            jobs: Processes that decode; 0 is this one.
            save_every: Videos between two times that the index is saved.
            on_video: Called with every video that was opened, and how many there will be.

        Raises:
            UserError: No video in the folder, or none that can be read; an index of another model
                or of other videos.
        """
        root = os.fspath(folder)
        if not os.path.isdir(root):
            raise UserError(f'There is no folder {root} (path: {os.path.abspath(root)}).')
        skipped: Counter[str] = Counter()
        paths = find_videos([root], skipped=skipped)
        there = {os.path.relpath(path, root): file_stat(path) for path in paths}
        dims = self._encode(['']).shape[1]
        index = VideoIndex(file or self.index_file(root), self._maker, rebuild, dims)
        wanted, gone = index.update(there)
        report = IndexReport([], len(index), gone, skipped)
        if wanted or gone:
            index.save()  # whether it can be is better known before the work
        unsaved = 0
        try:
            for checks, vectors in self._videos.embed(root, wanted, jobs):
                for check, vector in zip(checks, vectors, strict=True):
                    report.checks.append(check)
                    if vector is not None:
                        index.put(check.path, there[check.path], vector)
                        unsaved += 1
                    if on_video:
                        on_video(check, len(wanted))
                if unsaved >= save_every:
                    index.save()
                    unsaved = 0
        finally:
            if unsaved:
                index.save()
        if not len(index):
            raise UserError(
                f'None of the {len(there)} videos in {root} can be read. The first: '
                f'{report.checks[0].message}'
            )
        self._index, self.folder = index, Path(root)
        return report

    def words(self, text: str) -> tuple[list[str], list[str]]:
        """Return the words of a text inside and outside the model's vocabulary."""
        return split_words(self.model.caption_tokenizer.tokenizer, text)

    def index_file(self, folder: str | Path) -> Path:
        """Default path of the index of a folder."""
        path = os.path.abspath(folder)
        short = hashlib.sha1(path.encode()).hexdigest()[:8]
        return self.work_dir / f'index_{os.path.basename(path)}_{short}.safetensors'

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], top: int = 5) -> list[list[Hit]]:
        """Find the ``top`` videos of the index for each text, the best first.

        If the model has a re-ranker, it re-ranks the nearest videos, which are decoded
        again.

        A video that it can no longer read is left out, with a warning.

        Raises:
            UserError: A text is empty or not valid UTF-8, ``top`` is not positive, or nothing was
                indexed before.
        """
        if self._index is None:
            raise UserError('There are no videos to search: call index(folder) first.')
        check('VideoSearch', 'top', top, COUNT)
        check_texts(texts)
        texts = [text.strip() for text in texts]
        queries = self._encode(texts)
        reranker = self.model.reranker
        wanted = top if reranker is None else max(top, reranker.top_k + 1)
        scores, places = search_index(queries, self._index.vectors, wanted)
        paths = self._index.paths
        found = [
            [Hit(paths[place], score) for place, score in zip(*row, strict=True)]
            for row in zip(places.tolist(), scores.tolist(), strict=True)
        ]
        if reranker is not None:
            pairs = zip(texts, found, strict=True)
            found = [self._look_again(text, hits, reranker.top_k) for text, hits in pairs]
        return [hits[:top] for hits in found]

    @torch.no_grad()
    def _encode(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (n, D) of texts."""
        return self.model.encode_text(texts).float().cpu()

    def _look_again(self, text: str, hits: list[Hit], top_k: int) -> list[Hit]:
        """Hits, the nearest first, in the order of the re-ranker."""
        matches: dict[int, float] = {}
        gone: set[int] = set()

        def match(_: LongTensor, places: LongTensor) -> Tensor:
            scores = self._videos.match(str(self.folder), [hits[i].path for i in places], text)
            matches.update(zip(places.tolist(), scores.tolist(), strict=True))
            gone.update(places[scores.isneginf()].tolist())
            return scores

        ordered = rerank(torch.tensor([[hit.score for hit in hits]]), top_k, match)[0]
        return [
            replace(hits[i], match=matches.get(i))
            for i in ordered.argsort(descending=True, stable=True).tolist()
            if i not in gone
        ]
