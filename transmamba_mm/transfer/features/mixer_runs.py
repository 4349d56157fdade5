"""Run the mixers of a student on what its teacher's attention reads."""

from typing import Any

from torch import Tensor, nn

from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.token_batch import TokenBatch
from transmamba_mm.models.towers import IMAGES, towers_of
from transmamba_mm.transfer.features.features import Features, TokenFeature
from transmamba_mm.transfer.features.model_match import ModelMatch
from transmamba_mm.transfer.features.recorder import Recording
from transmamba_mm.transfer.layer_map import LayerPart


def run_mixers(
    student: nn.Module,
    teacher: nn.Module,
    match: ModelMatch,
    recording: Recording,
    size: tuple[int, ...],
    tokens: TokenBatch | None = None,
) -> tuple[Features, Features]:
    """Mixer outputs of the student and of the teacher, for the teacher's mixer inputs.

    Frames of clips are images of their own. Of text, the mixers read the teacher's batch, and
    outputs of padding are left out. So are layers that keep their attention or stand for an MLP.

    Args:
        student, teacher (nn.Module): The models.
        match (ModelMatch): Which layers belong together.
        recording (Recording): Mixer inputs and outputs of one forward pass of the teacher.
        size (tuple[int, ...]): Of its images, (..., height, width).
        tokens (TokenBatch, optional): What its towers of text have read.
    """
    features = Features(), Features()
    for tower in match.towers:
        ours, theirs = (towers_of(model)[tower.name] for model in (student, teacher))
        layouts = layout_of(ours.backbone), layout_of(theirs.backbone)
        grids: Any = None
        mask = None
        if tower.reads == IMAGES:
            grids = layouts[1].layer_grids(size[-2:])
        else:
            assert tokens is not None, 'a model with a tower of text has a token_batch_path'
            mask = tokens.mask
        inputs, outputs = layouts[1].mixer_inputs(), layouts[1].mixer_outputs()
        for layer, source, part in tower.pairs:
            if part is LayerPart.MLP:
                continue
            grid = None if grids is None else grids[source]
            patches, cls = recording.read(inputs[source].below(theirs.path), grid)
            mixed = layouts[0].run_mixer(layer, patches, cls, grid, mask)
            if mixed is None:
                continue
            target = recording.read(outputs[source].below(theirs.path), grid)
            for one, (patches, cls) in zip(features, (mixed, target), strict=True):
                one.mixer_outputs.append(
                    TokenFeature(patches, cls, grid) if grid else _real(patches, mask)
                )
    return features


def _real(tokens: Tensor, mask: Any) -> TokenFeature:
    """Those of tokens (B, T, D) that are no padding, in one row."""
    picked = tokens[mask.bool()]  # (N, D)
    return TokenFeature(picked[None], None, (1, len(picked)))
