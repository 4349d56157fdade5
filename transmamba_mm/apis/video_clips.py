"""Load video files as clips, with a config's test pipeline."""

import os
from collections.abc import Sequence

from mmcv.transforms import Compose
from mmengine.config import Config
from torch.utils.data import Dataset

from transmamba_mm.datasets.video.check_videos import VideoCheck
from transmamba_mm.datasets.video.video_error import VideoError
from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import pipeline_of, type_name
from transmamba_mm.registry import TRANSFORMS


def video_pipeline(cfg: Config) -> list[dict]:
    """The steps of a config's test pipeline that turn a video file into a clip.

    Raises:
        UserError: It decodes no videos.
    """
    steps = pipeline_of(cfg)
    names = [type_name(step) for step in steps]
    if 'DecodeVideo' not in names:
        raise UserError(
            f'The test pipeline of {cfg.filename} decodes no videos (it has '
            f'{", ".join(names) or "no steps"}): name a config whose test data are video files, '
            'with --config.'
        )
    decode, *others = steps[names.index('DecodeVideo') :]
    decode.pop('cache', None)
    return [{**decode, 'on_bad': 'raise'}, *others]


class VideoClips(Dataset):
    """Clips by number; a video that cannot be read is its check alone.

    Args:
        root (str): Folder of the videos.
        paths (Sequence[str]): Of the videos, below it.
        steps (Sequence[dict]): Of :func:`video_pipeline`.
    """

    def __init__(self, root: str, paths: Sequence[str], steps: Sequence[dict]) -> None:
        self.root, self.paths = root, paths
        self.pipeline = Compose([TRANSFORMS.build(step) for step in steps])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[VideoCheck, dict | None] | UserError:
        path = self.paths[number]
        try:
            return VideoCheck(path), self.pipeline({'video_path': os.path.join(self.root, path)})
        except VideoError as error:
            return VideoCheck(path, error.cause, str(error)), None
        except UserError as error:  # as a result: a DataLoader would wrap it into its traceback
            return error
        except Exception as error:  # a decoder's, from this file: load the others
            message = f'{path} cannot be used: {type(error).__name__} ({error}).'
            return VideoCheck(path, 'damaged', message), None
