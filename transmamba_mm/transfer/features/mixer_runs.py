"""Run the mixers of a student on what its teacher's attention reads."""

from torch import nn

from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.towers import towers_of
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
) -> tuple[Features, Features]:
    """Mixer outputs of the student and of the teacher, for the teacher's mixer inputs.

    Frames of clips are images of their own. Layers that keep their attention or stand for an
    MLP are left out.

    Args:
        student, teacher (nn.Module): The models.
        match (ModelMatch): Which layers belong together.
        recording (Recording): Mixer inputs and outputs of one forward pass of the teacher.
        size (tuple[int, ...]): Of its images, (..., height, width).
    """
    features = Features(), Features()
    for tower in match.towers:
        ours, theirs = (towers_of(model)[tower.name] for model in (student, teacher))
        layouts = layout_of(ours.backbone), layout_of(theirs.backbone)
        grids = layouts[1].layer_grids(size[-2:])
        inputs, outputs = layouts[1].mixer_inputs(), layouts[1].mixer_outputs()
        for layer, source, part in tower.pairs:
            if part is LayerPart.MLP:
                continue
            grid = grids[source]
            patches, cls = recording.read(inputs[source].below(theirs.path), grid)
            mixed = layouts[0].run_mixer(layer, patches, cls, grid)
            if mixed is None:
                continue
            target = recording.read(outputs[source].below(theirs.path), grid)
            for one, (patches, cls) in zip(features, (mixed, target), strict=True):
                one.mixer_outputs.append(TokenFeature(patches, cls, grid))
    return features
