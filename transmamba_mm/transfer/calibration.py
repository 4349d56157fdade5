"""Start mixers from statistics of the teacher's attention, measured on images without labels.

Weights alone determine neither how large a mixer's output becomes nor how far back its scan should
reach. Both are measured before the first step, layer by layer, on what the student's own mixers
read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.mixers.attention_mimic import mimic_of
from transmamba_mm.models.towers import IMAGES, towers_of
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureKind
from transmamba_mm.transfer.features.frames import as_frames
from transmamba_mm.transfer.features.model_reader import ModelReader
from transmamba_mm.transfer.subcloning.weight_subcloning import LayerChannels, WeightSubcloning

#: Least and greatest share of a state that is left after a token.
DECAYS = (1e-3, 0.999)
#: Least share of attention's size that a mixer has which is little like it: without any it would
#: get no gradients.
LEAST_SHARE = 0.2
#: Halvings of the interval of decays.
HALVINGS = 30


def attention_distance(attention: Tensor, order: Tensor) -> Tensor:
    """Mean attention distance along each direction, in tokens: (K, H).

    A direction reads the tokens before a token, and the token itself; what attention gives to
    others is left to the other directions. All tokens count alike.

    Args:
        attention (Tensor): (B, H, L, L) probabilities.
        order (Tensor): (K, L) traversals of the L tokens.
    """
    length = attention.shape[-1]
    steps = torch.arange(length, device=attention.device)
    distance = (steps[:, None] - steps).clamp(min=0).to(attention)  # (L, L)
    found = []
    for path in order:
        seen = attention[:, :, path][..., path].tril()
        found.append(((seen * distance).sum(-1) / seen.sum(-1)).mean(dim=(0, 2)))
    return torch.stack(found)


def decay_of(distance: Tensor, length: int) -> Tensor:
    """The decay whose average over a sequence reaches as far back, with the shape of ``distance``.

    With weights ``decay ** k`` of the tokens k = 0, 1, ... before it, a token reaches back by
    ``sum_k k decay^k / sum_k decay^k``. Where attention reaches further than equal weights do, the
    decay is the slowest.

    Args:
        distance (Tensor): Tokens, on average over a sequence.
        length (int): Of the sequence.
    """
    back = torch.arange(length, dtype=torch.double, device=distance.device)
    low, high = (torch.full_like(distance, end, dtype=torch.double) for end in DECAYS)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        weights = middle[..., None] ** back
        each = (weights * back).cumsum(-1) / weights.cumsum(-1)  # of each token
        is_near = each.mean(-1) < distance
        low, high = torch.where(is_near, middle, low), torch.where(is_near, high, middle)
    return ((low + high) / 2).to(distance)


@torch.no_grad()
def calibrate(
    subcloning: WeightSubcloning,
    student: nn.Module,
    teacher: nn.Module,
    tower: str,
    inputs: tuple[Tensor, Tensor],
) -> list[str]:
    """Calibrate the mixers of a tower that stand for attention, in place.

    'scale': what a mixer adds to the stream varies as much as what attention adds, by a factor on
    ``out_proj``. Gate, activation and convolution of a block each shrink the cloned values, so
    without it the embedding outweighs all blocks, and all layers have the same features.

    'attention': mixers start as averages of their values
    (:class:`~transmamba_mm.models.mixers.attention_mimic.AttentionMimic`) that reach back as far as
    the head that each value is of, and the factor brings them closest to attention (but not
    below ``LEAST_SHARE`` of its size). A bias of ``out_proj`` brings the means together.

    After Taylor-Calibrate (arXiv 2606.16429), which sets value scale, memory time scale, write and
    output gates of a linear attention by statistics of its teacher, and the start of mmMamba
    (arXiv 2502.13145). That B and C read a constant is ours: queries and keys have no place in the
    B and C of a student. So attention is matched in its distance, not in its content.

    Args:
        subcloning (WeightSubcloning): Of the tower; has been applied.
        student, teacher (nn.Module): The models.
        tower (str): Name of the tower.
        inputs (tuple[Tensor, Tensor]): Images (B, C, H, W), or clips, of the student and of the
            teacher.

    Returns:
        list[str]: A line for each layer, for the log.

    Raises:
        UserError: A tower of text; a teacher without attention maps.
    """
    ours, theirs = (towers_of(model)[tower] for model in (student, teacher))
    if ours.reads != IMAGES:
        raise UserError(f'calibration of the tower {tower!r}, which reads text: remove it there.')
    layers = subcloning.channels(student, teacher, tower)
    was_training = student.training
    student.eval()
    backbone = ours.backbone
    layout = layout_of(backbone)
    images = _frames(layout, inputs[0])
    grids = layout.layer_grids(tuple(images.shape[2:]))
    attention = _measure(
        teacher, theirs, [layer.pair.teacher for layer in layers], tower, inputs[1]
    )
    starts, handles = [], []
    for layer, target in zip(layers, attention, strict=True):
        place = layer.pair.student
        mixer = mimic_of(backbone.get_submodule(layout.mixer_paths()[place]))
        as_average = subcloning.calibration == 'attention'
        starts.append(MixerStart(layer, target, layout, grids[place], as_average))
        handles.append(mixer.register_forward_pre_hook(starts[-1]))
    backbone(images)
    for handle in handles:
        handle.remove()
    student.train(was_training)
    return [start.line for start in starts]


def _frames(layout: Any, images: Tensor) -> Tensor:
    return images if images.dim() == 4 or layout.takes_clips else as_frames(images)


class Attention(NamedTuple):
    """What the attention of one teacher layer did with images, patch by patch.

    Attributes:
        maps (Tensor): (B, H, L, L) probabilities.
        added (Tensor): (B, L, D) outputs.
        grid (tuple[int, int]): Of the patches.
    """

    maps: Tensor
    added: Tensor
    grid: tuple[int, int]


def _measure(
    model: nn.Module, tower: Any, layers: Sequence[int], name: str, images: Tensor
) -> list[Attention]:
    """The attention of some layers; frames of clips are images of their own."""
    kinds = (FeatureKind.ATTENTION_MAPS, FeatureKind.MIXER_OUTPUTS)
    reader = ModelReader(model, {name: layers}, kinds)
    images = _frames(layout_of(tower.backbone), images)
    with reader.recorder.record(model) as recording:
        tower.backbone(images)
    found = reader.read_images(model, name, recording, tuple(images.shape[2:]))
    measured = []
    for maps, output in zip(*(found[kind] for kind in kinds), strict=True):
        patches = slice(-output.patches.shape[1], None)  # extra tokens come first
        measured.append(Attention(maps[..., patches, patches], output.patches, output.grid))
    return measured


@dataclass
class MixerStart:
    """Calibrates a mixer right before it runs: a forward pre-hook.

    Attributes:
        layer (LayerChannels): What it stands for.
        attention (Attention): What that did.
        layout: That of the student's backbone.
        grid (tuple[int, ...]): Of the student's patches in this layer.
        as_average (bool): Start as an average, too.
        line (str): What was done, for the log.
    """

    layer: LayerChannels
    attention: Attention
    layout: Any
    grid: tuple[int, ...]
    as_average: bool
    line: str = ''

    def __call__(self, mixer: Any, inputs: tuple) -> None:
        """Change the mixer for what it is about to read."""
        hidden, *path = (part for part in inputs if not isinstance(part, bool))
        note = ''
        if self.as_average:
            decay = self._decay()
            mixer.average_values(decay, hidden, *path)
            note = f'decay {decay.min():.2f} to {decay.max():.2f} a token, '
        scale = self._match(mixer, mixer.forward(hidden, *path))
        pair = self.layer.pair
        self.line = f'layer {pair.student} like {pair}: {note}output times {scale:.3g}'

    def _decay(self) -> Tensor:
        """Decays (K, E) of the channels of each head, a token of the student."""
        maps, _, grid = self.attention
        length = prod(self.grid[-2:])
        order = self.layout.directions(grid).to(maps.device)
        distance = attention_distance(maps, order) * length / prod(grid)  # (K, H)
        heads = self.layer.values.to(maps.device) * maps.shape[1] // self.layer.num_values
        return decay_of(distance, length)[:, heads]

    def _match(self, mixer: Any, mixed: Tensor) -> float:
        """Scale ``out_proj``, and set its mean if it has a bias; returns the factor."""
        count, bias = len(self.layer.outputs), mixer.out_proj.bias
        _, added, grid = self.attention
        theirs = to_grid(added, grid, self.grid[-2:])[..., self.layer.outputs.to(added.device)]
        theirs = theirs.flatten(0, 1)  # (patches of all images, D)
        ours = self.layout.to_canonical(mixed, self.grid)[0][..., :count].flatten(0, 1)
        centered = ours - ours.mean(dim=0), theirs - theirs.mean(dim=0)
        scale = centered[1].norm() / centered[0].norm()
        if self.as_average:
            cosine = (centered[0] * centered[1]).sum() / centered[0].norm() / centered[1].norm()
            scale = scale * cosine.clamp(min=LEAST_SHARE)
        mixer.out_proj.weight.mul_(scale)
        if bias is not None:
            without = ours.mean(dim=0) - bias[:count]
            bias[:count] = theirs.mean(dim=0) - scale * without
        return float(scale)
