"""The last step of a video pipeline."""

from collections.abc import Sequence

import torch
from mmcv.transforms import BaseTransform
from mmpretrain.structures import DataSample

from transmamba_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackClip(BaseTransform):
    """Turn an item into ``inputs`` (C, T, H, W), uint8, and ``data_samples``, a ``DataSample``.

    ``frame_mask`` becomes a tensor (T,), bool, to move to the model's device; ``gt_label``
    is set as mmpretrain does. Keys that an item lacks are left out.

    Args:
        algorithm_keys (Sequence[str]): Keys that become data fields. Defaults to ``('text',)``.
        meta_keys (Sequence[str]): Keys that become meta information. Defaults to ``META_KEYS``.
    """

    META_KEYS = (
        *('video_id', 'caption_id', 'video_path', 'sample_idx', 'is_missing'),
        *('frame_indices', 'img_shape', 'ori_shape', 'flip'),
    )

    def __init__(
        self,
        algorithm_keys: Sequence[str] = ('text',),
        meta_keys: Sequence[str] = META_KEYS,
    ) -> None:
        self.algorithm_keys = tuple(algorithm_keys)
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack the item."""
        sample = DataSample()
        sample.frame_mask = torch.from_numpy(results['frame_mask'])
        if 'gt_label' in results:
            sample.set_gt_label(results['gt_label'])
        for keys, kind in ((self.algorithm_keys, 'data'), (self.meta_keys, 'metainfo')):
            for key in keys:
                if key in results:
                    sample.set_field(results[key], key, field_type=kind)
        clip = torch.from_numpy(results['clip']).permute(3, 0, 1, 2).contiguous()
        return {'inputs': clip, 'data_samples': sample}
