"""Run an image model on the frames of clips."""

from torch import Tensor, nn

from transmamba_mm.models.towers import view_of


def frames_for(model: nn.Module, images: Tensor) -> Tensor:
    """Frames (B * T, C, H, W) of clips for a model of images; else ``images`` itself."""
    return images if images.dim() == 4 or view_of(model).takes_clips else as_frames(images)


def as_frames(clips: Tensor) -> Tensor:
    """The frames (B * T, C, H, W) of clips (B, C, T, H, W), clip by clip."""
    return clips.transpose(1, 2).flatten(0, 1)


def as_clips(frames: Tensor, num_frames: int) -> Tensor:
    """Undo :func:`as_frames`."""
    return frames.unflatten(0, (-1, num_frames)).transpose(1, 2)


def mean_over_frames(outputs: Tensor, num_frames: int) -> Tensor:
    """Outputs of frames (B * T, D), averaged over the frames of a clip: (B, D)."""
    return outputs.unflatten(0, (-1, num_frames)).mean(1)
