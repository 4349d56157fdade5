"""Normalize clips of the data loader for the model."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor

from transmamba_mm.checks import FINITE, FLAG, POSITIVE, Each, checked
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS


@MODELS.register_module()
class VideoDataPreprocessor(BaseDataPreprocessor):
    """Stacks clips, moves them to the device and normalizes each channel over all frames.

    Input is what ``PackClip`` gives: ``inputs`` RGB clips (C, T, H, W), a list of them or already
    one batch, and ``data_samples``. Single images (C, H, W) are normalized the same way. Output is
    ``inputs`` (B, C, T, H, W), float32, and the data samples on the device.

    mmpretrain's ``ClsDataPreprocessor`` would subtract a mean of shape (C, 1, 1) along T.

    Args:
        mean (Sequence[float], optional): Of each channel, for pixels 0 to 255. None: none of both.
        std (Sequence[float], optional): Of each channel.
        non_blocking (bool): Whether copies to the device may overlap. Defaults to False.

    Attributes:
        mean, std (Tensor): (C, 1, 1), as mmengine's ``ImgDataPreprocessor`` has them.

    Raises:
        UserError: If only one of mean and std is given, their lengths differ or std holds a zero.
    """

    @checked(mean=Each(FINITE, alone=False), std=Each(POSITIVE, alone=False), non_blocking=FLAG)
    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        if (mean is None) != (std is None) or len(mean or ()) != len(std or ()):
            raise UserError(f'mean={mean} and std={std} need one value for each channel, or None.')
        self._normalizes = mean is not None
        if self._normalizes:
            for name, values in (('mean', mean), ('std', std)):
                value = torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
                self.register_buffer(name, value, persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``inputs`` (B, C, T, H, W) and ``data_samples``.

        Raises:
            UserError: If the clips differ in shape, or do not have the channels of ``mean``.
        """
        data = self.cast_data(data)
        clips = data['inputs']
        if not isinstance(clips, torch.Tensor):
            shapes = {tuple(clip.shape) for clip in clips}
            if len(shapes) > 1:
                raise UserError(
                    f'The clips of one batch differ in shape: {sorted(shapes)}. End the pipeline '
                    'with CenterCropClip or RandomResizedCropClip, or decode to a (height, width).'
                )
            clips = torch.stack(list(clips))
        clips = clips.float()
        if self._normalizes:
            if clips.shape[1] != len(self.mean):
                raise UserError(
                    f'Clips of {clips.shape[1]} channels do not fit {len(self.mean)} means.'
                )
            shape = (-1, *[1] * (clips.dim() - 2))
            clips = (clips - self.mean.view(shape)) / self.std.view(shape)
        return {**data, 'inputs': clips, 'data_samples': data.get('data_samples')}
