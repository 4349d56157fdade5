"""A hook point with a backbone's patches as a map, for class activation maps."""

from torch import Tensor, nn


class CanonicalMap(nn.LayerNorm):
    """An identity whose output is a map (B, D, H, W), patches where they are in the image.

    A backbone's ``cam`` is one: the residual stream in front of the last block that is read, where
    every patch still reaches a cls token (VMamba, which has none: behind it); (B, D, T, H, W) of a
    clip. While something hooks it, the stream goes through it, gradients too::

        GradCAM(model, [model.backbone.cam])                   # pytorch-grad-cam, no reshaping
        python tools/visualization/vis_cam.py IMG CONFIG CHECKPOINT           # mmpretrain's default
        python tools/visualization/vis_cam.py ... --target-layers backbone.cam

    By type it is a norm, without any weight, because mmpretrain's ``vis_cam`` takes the last norm
    of a backbone when no target layer is given. Leave out its ``--vit-like``, which cuts the first
    tokens off, wherever the cls token is.
    """

    def __init__(self) -> None:
        super().__init__(1, elementwise_affine=False)

    @property
    def watched(self) -> bool:
        """Whether something hooks this module."""
        return bool(
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return (B, D, H, W) unchanged."""
        return patches

    def extra_repr(self) -> str:
        """Nothing: it has no settings."""
        return ''
