"""Find videos by what is said about them: a trained model, a folder, a text."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from transmamba_mm.apis.check_videos import VideoCheck, find_videos
from transmamba_mm.apis.trained_model import load_trained
from transmamba_mm.apis.video_index import VideoIndex, nearest, stamp
from transmamba_mm.checkpoint import locate
from transmamba_mm.datasets.video.bad_video import BadVideo
from transmamba_mm.errors import UserError
from transmamba_mm.models.retrieval.dual_encoder import DualEncoder
from transmamba_mm.registry import TRANSFORMS

BATCH = 8  # videos that are embedded at a time


@dataclass(frozen=True)
class Hit:
    """A video that was found: its path below the folder, and its cosine with the text."""

    path: str
    score: float


@dataclass(frozen=True)
class IndexReport:
    """What an update of the index did; ``checks`` are of the videos that it had to open."""

    checks: list[VideoCheck]
    kept: int
    gone: int


class VideoSearch:
    """Search a folder of videos by text, with a trained model.

    ::

        search = VideoSearch('work_dirs/videomamba-nano_clip-nano_moving-digits')
        search.index('videos')  # embeds what is new, and remembers it
        search(['a large seven moves left'])[0][0].path

    Videos go through the test pipeline of the model's config, from its ``DecodeVideo`` on.

    Args:
        checkpoint (str): A file, a work_dir or a URL; a transfer's or an exported student's.
        config (str, optional): By default the one that training left beside the checkpoint.
        device (str, optional): By default the fastest there is.

    Raises:
        UserError: No config, a checkpoint that does not fit it, a model that retrieves nothing, a
            test pipeline that decodes no videos.
    """

    def __init__(
        self, checkpoint: str, config: str | None = None, device: str | None = None
    ) -> None:
        self.model, cfg = load_trained(checkpoint, config, device)
        if not isinstance(self.model, DualEncoder):
            raise UserError(
                f'{cfg.filename} describes a {type(self.model).__name__}, which retrieves no '
                'videos: name the config of a VideoTextRetriever or a Clip4ClipTeacher.'
            )
        self.work_dir = locate(checkpoint).parent
        steps = video_pipeline(cfg)
        self._pipeline = Compose([TRANSFORMS.build(step) for step in steps])
        self._maker = fingerprint(self.model, [steps, cfg.model.get('data_preprocessor')])
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

        An interrupted run goes on where it was saved last. Videos that cannot be read are left out
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
            raise UserError(f'There is no folder {root} (looked at {os.path.abspath(root)}).')
        there = {os.path.relpath(path, root): stamp(path) for path in find_videos([root])}
        index = VideoIndex(file or self.index_file(root), self._maker, rebuild)
        wanted, gone = index.update(there)
        report = IndexReport([], len(index), gone)
        unsaved = gone
        try:
            for checks, vectors in self._embed(root, wanted, jobs):
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

    def index_file(self, folder: str | Path) -> Path:
        """Where the index of a folder is by default."""
        path = os.path.abspath(folder)
        short = hashlib.sha1(path.encode()).hexdigest()[:8]
        return self.work_dir / f'index_{os.path.basename(path)}_{short}.safetensors'

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], top: int = 5) -> list[list[Hit]]:
        """Find the ``top`` videos of the index for each text, the best first.

        Raises:
            UserError: A text is empty, ``top`` is not positive, or nothing was indexed before.
        """
        if self._index is None:
            raise UserError('There is nothing to search: call index(folder) first.')
        if top < 1:
            raise UserError(f'top={top}: at least one video has to be found.')
        if any(not text.strip() for text in texts):
            raise UserError('A text is empty: say what the video shows.')
        queries = self.model.encode_text([text.strip() for text in texts]).float().cpu()
        scores, places = nearest(queries, self._index.vectors, top)
        paths = self._index.paths
        return [
            [Hit(paths[place], score) for place, score in zip(*row, strict=True)]
            for row in zip(places.tolist(), scores.tolist(), strict=True)
        ]

    def _embed(self, root: str, paths: Sequence[str], jobs: int):
        """Yield batches of checks and of vectors (D,), None for videos that cannot be read."""
        loader = DataLoader(
            _Videos(root, paths, self._pipeline), BATCH, num_workers=jobs, collate_fn=list
        )
        for batch in loader:
            for found in batch:
                if isinstance(found, UserError):
                    raise found
            vectors = iter(self._see([clip for _, clip in batch if clip is not None]))
            yield (
                [check for check, _ in batch],
                [None if clip is None else next(vectors) for _, clip in batch],
            )

    @torch.no_grad()
    def _see(self, clips: list[dict]) -> list[Tensor]:
        """What the test loop makes of clips."""
        if not clips:
            return []
        batch = {key: [clip[key] for clip in clips] for key in ('inputs', 'data_samples')}
        vectors = [sample.video_embedding.float().cpu() for sample in self.model.test_step(batch)]
        if not all(vector.isfinite().all() for vector in vectors):
            raise UserError('Embeddings are not finite: the model has diverged.')
        return vectors


class _Videos(Dataset):
    """Clips by number; a video that cannot be read is its check alone."""

    def __init__(self, root: str, paths: Sequence[str], pipeline: Compose) -> None:
        self.root, self.paths, self.pipeline = root, paths, pipeline

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[VideoCheck, dict | None] | UserError:
        path = self.paths[number]
        try:
            clip = self.pipeline({'video_path': os.path.join(self.root, path)})
        except BadVideo as error:
            return VideoCheck(path, error.cause, str(error)), None
        except UserError as error:  # as a result: a DataLoader would wrap it into its traceback
            return error
        return VideoCheck(path), clip


def video_pipeline(cfg: Config) -> list[dict]:
    """The steps of a config's test pipeline that turn a video file into a clip.

    Raises:
        UserError: It decodes no videos.
    """
    dataset: Any = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    steps = [dict(step) for step in dataset.get('pipeline') or ()]
    names = [str(step['type']).rpartition('.')[2] for step in steps]
    if 'DecodeVideo' not in names:
        raise UserError(
            f'The test pipeline of {cfg.filename} decodes no videos (it has {", ".join(names)}): '
            'name a config whose test data are video files, with --config.'
        )
    decode, *others = steps[names.index('DecodeVideo') :]
    decode.pop('cache', None)
    return [{**decode, 'on_bad': 'raise'}, *others]


def fingerprint(model: nn.Module, settings: object) -> str:
    """Tell whether two embeddings can be compared: a hash of the weights and of ``settings``."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return digest.hexdigest()
