"""Clips are stacked and normalized channel by channel, over all frames alike."""

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from mmpretrain.structures import DataSample

from transmamba_mm.errors import UserError
from transmamba_mm.models import VideoDataPreprocessor
from transmamba_mm.registry import MODELS

MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)


def clips(number: int = 2, frames: int = 3) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randint(0, 256, (3, frames, 4, 5), dtype=torch.uint8) for _ in range(number)]


@pytest.mark.parametrize('frames', [1, 3, 8])  # 3 frames would also take a mean along T
def test_normalizes_as_mmengine_does_frame_by_frame(frames):
    batch = clips(frames=frames)
    out = VideoDataPreprocessor(MEAN, STD)({'inputs': batch, 'data_samples': None})
    assert out['inputs'].shape == (2, 3, frames, 4, 5) and out['inputs'].dtype == torch.float32
    oracle = ImgDataPreprocessor(MEAN, STD)
    for t in range(frames):
        expected = oracle({'inputs': [clip[:, t] for clip in batch]})['inputs']
        assert torch.equal(out['inputs'][:, :, t], expected)


def test_a_list_is_a_batch():
    step = VideoDataPreprocessor(MEAN, STD)
    one = step({'inputs': clips()})['inputs']
    assert torch.equal(one, step({'inputs': torch.stack(clips())})['inputs'])
    assert torch.equal(
        VideoDataPreprocessor()({'inputs': clips()})['inputs'], torch.stack(clips()).float()
    )


def test_images():
    images = [clip[:, 0] for clip in clips()]
    expected = ImgDataPreprocessor(MEAN, STD)({'inputs': images})['inputs']
    assert torch.equal(VideoDataPreprocessor(MEAN, STD)({'inputs': images})['inputs'], expected)


def test_samples_go_to_the_device_and_buffers_stay_out_of_checkpoints():
    step = MODELS.build({'type': 'VideoDataPreprocessor', 'mean': MEAN, 'std': STD}).to('meta')
    sample = DataSample()
    sample.frame_mask = torch.ones(3, dtype=torch.bool)
    sample.text = 'a seven'
    out = step({'inputs': clips(), 'data_samples': [sample, sample], 'extra': 1})
    assert out['inputs'].device.type == 'meta' and out['extra'] == 1
    assert out['data_samples'][0].frame_mask.device.type == 'meta'
    assert out['data_samples'][0].text == 'a seven'
    assert step.mean.shape == step.std.shape == (3, 1, 1) and not step.state_dict()
    assert VideoDataPreprocessor()({'inputs': clips()})['data_samples'] is None


def test_mistakes():
    with pytest.raises(UserError, match='one value for each channel'):
        VideoDataPreprocessor(MEAN)
    with pytest.raises(UserError, match='one value for each channel'):
        VideoDataPreprocessor(MEAN, (1.0,))
    with pytest.raises(UserError, match=r'std=\(1\.0, 0\.0, 1\.0\)'):
        VideoDataPreprocessor(MEAN, (1.0, 0.0, 1.0))
    with pytest.raises(UserError, match='differ in shape'):
        VideoDataPreprocessor()({'inputs': [*clips(1, 3), *clips(1, 4)]})
    with pytest.raises(UserError, match='1 channels do not fit 3 means'):
        VideoDataPreprocessor(MEAN, STD)({'inputs': [clip[:1] for clip in clips()]})
