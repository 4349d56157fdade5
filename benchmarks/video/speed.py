"""Time each way to load clips from disk, and whether training waits for it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.dataset import Compose, pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from transmamba_mm.datasets import CenterCropClip, DecodeVideo, PackClip
from transmamba_mm.datasets.video.open_video import open_video
from transmamba_mm.models import VideoDataPreprocessor, VideoMamba
from transmamba_mm.tables import number, render

WAYS = ('decord', 'pyav', 'frames folder', 'cache, cold', 'cache, warm')


@dataclass(frozen=True)
class VideoSpeed:
    """What one way gave.

    Attributes:
        alone: Clips per second in one process, nothing else going on.
        loaded: Clips per second through a DataLoader with unused batches.
        waiting: Share of a training step that is spent waiting for its batch.
        step_ms: Milliseconds of the step itself, without the waiting.
    """

    way: str
    alone: float
    loaded: float
    waiting: float
    step_ms: float


class Clips(Dataset):
    """``number`` items that go through ``videos`` again and again."""

    def __init__(self, videos: Sequence[str], steps: Sequence[Callable], number: int) -> None:
        self.videos, self.number = videos, number
        self.pipeline = Compose(steps)

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> dict:
        return self.pipeline({'video_path': self.videos[index % len(self.videos)]})


@dataclass(frozen=True)
class VideoBenchmark:
    """Measure each of ``WAYS`` on the same videos, sampling frames at random as training does.

    Args:
        videos: Files.
        folders: The same videos as folders of frames, see :func:`extract_frames`.
        frames: Frames of a clip.
        size: Height and width of a clip; the short side is scaled while decoding.
        batch_size, workers: Of the DataLoader.
        batches: How many batches are timed.
        scratch: Folder for caches.
        step: What is done with a batch of clips (B, 3, T, H, W).
    """

    videos: Sequence[str]
    folders: Sequence[str]
    frames: int
    size: int
    batch_size: int
    workers: int
    batches: int
    scratch: Path
    step: Callable[[torch.Tensor], None]

    def measure(self, way: str) -> VideoSpeed:
        """Time one way: alone, through a DataLoader, and through one that feeds the step."""
        if way == 'cache, warm':
            clips = self._clips(way, 'warm', len(self.videos))
            for index in range(len(clips)):
                clips[index]
        alone = self._alone(way)
        loaded, *_ = self._loaded(way, 'loaded', lambda clips: None)
        _, waited, stepped, count = self._loaded(way, 'stepped', self.step)
        return VideoSpeed(way, alone, loaded, waited / (waited + stepped), 1000 * stepped / count)

    def _clips(self, way: str, run: str, number: int) -> Clips:
        cache = self.scratch / ('warm' if way == 'cache, warm' else f'cold_{run}')
        decode = DecodeVideo(
            self.frames,
            'random',
            size=self.size,
            backend=way if way in ('decord', 'pyav') else 'auto',
            cache={'dir': str(cache), 'max_gb': 100} if way.startswith('cache') else None,
            on_bad='raise',
        )
        videos = self.folders if way == 'frames folder' else self.videos
        if way == 'cache, cold':
            videos = _links(videos, self.scratch / f'links_{run}', number)
        return Clips(videos, [decode, CenterCropClip(self.size), PackClip()], number)

    def _alone(self, way: str) -> float:
        clips = self._clips(way, 'alone', max(len(self.videos), self.batches))
        start = time.perf_counter()
        for index in range(len(clips)):
            clips[index]
        return len(clips) / (time.perf_counter() - start)

    def _loaded(self, way: str, run: str, step: Callable) -> tuple[float, float, float, int]:
        """Run an epoch; return clips per second, seconds waited and stepped, steps."""
        clips = self._clips(way, run, (self.batches + 1) * self.batch_size)
        loader = DataLoader(
            clips, self.batch_size, False, num_workers=self.workers, collate_fn=pseudo_collate
        )
        waited = stepped = 0.0
        count = 0
        start = clock = time.perf_counter()
        for batch in loader:
            got = time.perf_counter()
            step(torch.stack(batch['inputs']))
            done = time.perf_counter()
            if count:  # the first batch waits for the workers to start
                waited += got - clock
                stepped += done - got
            else:
                start = done
            clock = done
            count += 1
        timed = count - 1
        return timed * self.batch_size / (clock - start), waited, stepped, timed


def _links(videos: Sequence[str], folder: Path, number: int) -> list[str]:
    """Make ``number`` links to ``videos``: as many videos as far as a cache is concerned."""
    folder.mkdir()
    links = [
        folder / f'{place}{Path(videos[place % len(videos)]).suffix}' for place in range(number)
    ]
    for place, link in enumerate(links):
        link.symlink_to(Path(videos[place % len(videos)]).absolute())
    return list(map(str, links))


def extract_frames(videos: Sequence[str], folder: Path, on_video: Callable[[], None]) -> list[str]:
    """Write all frames of ``videos`` as jpg files, a folder for each; return the folders."""
    folders = []
    for place, path in enumerate(videos):
        target = folder / str(place)
        target.mkdir(parents=True)
        with open_video(path) as video:
            for index in range(len(video)):
                Image.fromarray(video.read([index])[0]).save(target / f'{index}.jpg', quality=90)
        folders.append(str(target))
        on_video()
    return folders


def training_step(frames: int, size: int) -> Callable[[torch.Tensor], None]:
    """Return a step that trains VideoMamba's nano on a batch."""
    torch.manual_seed(0)
    model = VideoMamba('nano', size, frames, patch_size=16)
    preprocessor = VideoDataPreprocessor((127.5,) * 3, (127.5,) * 3)
    optimizer = torch.optim.AdamW(model.parameters())

    def step(clips: torch.Tensor) -> None:
        optimizer.zero_grad()
        model(preprocessor({'inputs': clips})['inputs'])[0].square().mean().backward()
        optimizer.step()

    return step


def waiting_step(milliseconds: float) -> Callable[[torch.Tensor], None]:
    """Return a step that leaves the processor alone for so long, as one on a GPU does."""

    def sleep(clips: torch.Tensor) -> None:
        time.sleep(milliseconds / 1000)

    return sleep


def video_table(speeds: Sequence[VideoSpeed], title: str) -> str:
    """Draw the table."""
    rows = [
        [
            speed.way,
            number(speed.alone),
            number(speed.loaded),
            number(speed.step_ms),
            f'{speed.waiting:.0%}',
        ]
        for speed in speeds
    ]
    headings = ('clips/s, one process', 'clips/s, loader', 'step, ms', 'waiting for data')
    return render(title, 'way', headings, rows)
