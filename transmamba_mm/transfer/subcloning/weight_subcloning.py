"""Stage 1: the student's weights start from slices of the teacher's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transmamba_mm.checkpoint import check_finite, load_state_dict
from transmamba_mm.checks import FLAG, checked, one_of
from transmamba_mm.errors import UserError, nearest
from transmamba_mm.models.layouts import LayerPart, TokenLayout, layout_of
from transmamba_mm.models.mixers.attention_mimic import mimic_of
from transmamba_mm.models.towers import towers_of
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.layer_map import Entry, LayerMap, LayerPair
from transmamba_mm.transfer.subcloning.channels import INNER, ChannelPlan
from transmamba_mm.transfer.subcloning.fitting import TensorFitter
from transmamba_mm.transfer.subcloning.names import match
from transmamba_mm.transfer.subcloning.report import TransferLine, TransferReport
from transmamba_mm.transfer.subcloning.rules import (
    TABLES,
    Clone,
    Fixed,
    Keep,
    Rule,
    Same,
    Start,
    StudentTable,
)
from transmamba_mm.transfer.subcloning.sides import StudentWeights, TeacherWeights

IMPORTANCES = ('magnitude', 'stability')
CALIBRATIONS = ('scale', 'attention')
MIMIC = 'what is around the scan passes its input on'


class LayerChannels(NamedTuple):
    """Which channels of a teacher's attention a student's mixer has.

    Attributes:
        pair (LayerPair): The layers.
        num_values (int): Rows of the values of all heads, one after another.
        values (Tensor): (E or fewer,) row of the values that each scanned channel is.
        outputs (Tensor): (D or fewer,) residual channel that each residual channel is.
    """

    pair: LayerPair
    num_values: int
    values: Tensor
    outputs: Tensor


@MODELS.register_module()
class WeightSubcloning:
    """Weight subcloning (TransMamba, arXiv 2502.15130; after Samragh et al., arXiv 2312.09299).

    Everything but the scan starts from the Transformer, by the rules of the student's family
    (``transfer/subcloning/students``). Different widths: the channels of a residual stream are
    ranked once for the whole network, so all slices of one width agree, and slices are rescaled so
    that activations keep their variance; a wider student is padded with its own initialization.
    Different depths: the layer map decides.

    Args:
        importance (str): 'magnitude', or 'stability': channels that change little between
            ``pretrained`` and the teacher (the paper's choice where both exist).
        pretrained (str | Mapping, optional): Weights the teacher was fine-tuned from: anything
            :func:`transmamba_mm.checkpoint.load_state_dict` reads. 'stability' needs it.
        layer_map (str | dict | list | LayerMap): See :class:`LayerMap`; a student layer without a
            teacher keeps its initialization ('first_n': v2's selective subcloning).
        skip (Sequence[str]): Glob patterns of student parameters to leave alone.
        mimic_scan (bool): Start what is around each scan so that it passes its input on: the
            convolution is the identity and the gate is open where it has a bias (see
            :class:`~transmamba_mm.models.mixers.attention_mimic.AttentionMimic`). Layers that take
            an MLP are not touched.
        calibration (str, optional): What a training measures before its first step, on images
            without labels, to set what weights do not determine: 'scale' or 'attention', see
            :func:`~transmamba_mm.transfer.calibration.calibrate`; ``CalibrationHook`` calls it.
        table (StudentTable, optional): Other rules than those of the student's family.

    Raises:
        UserError: Unknown importance, or one that does not go with ``pretrained``.
    """

    @checked(
        importance=one_of(*IMPORTANCES), mimic_scan=FLAG, calibration=one_of(*CALIBRATIONS, None)
    )
    def __init__(
        self,
        importance: str = 'magnitude',
        pretrained: str | Path | Mapping[str, Tensor] | None = None,
        layer_map: str | Mapping | Sequence[Entry] | LayerMap = 'uniform',
        skip: Sequence[str] = (),
        mimic_scan: bool = False,
        calibration: str | None = None,
        table: StudentTable | None = None,
    ) -> None:
        if (importance == 'stability') != (pretrained is not None):
            raise UserError(
                "importance='stability' and pretrained belong together: set subcloning.pretrained "
                'to the checkpoint the teacher was fine-tuned from, or set neither.'
            )
        self.pretrained = pretrained
        self.layer_map = LayerMap.from_config(layer_map)
        self.skip = [skip] if isinstance(skip, str) else list(skip)
        self.mimic_scan = mimic_scan
        self.calibration = calibration
        self.table = table

    @torch.no_grad()
    def apply(
        self, student: nn.Module, teacher: nn.Module | TeacherWeights, tower: str = 'backbone'
    ) -> TransferReport:
        """Overwrite the student's weights that have a rule.

        Args:
            student (nn.Module): A classifier, or a model with ``towers``.
            teacher (nn.Module | TeacherWeights): The same, or the weights of its tower.
            tower (str): Which tower of both; a classifier has one, its ``backbone``.

        Returns:
            TransferReport: One line for each parameter of the student's tower.

        Raises:
            UserError: A family without rules or canonical weights; a rule that matches nothing, a
                shape that cannot be met, a skip pattern that fits nothing, with both keys.
        """
        ours = StudentWeights.of(student, tower)
        theirs, plan = self._plan(ours, teacher, tower)
        table = plan.table
        self._check_patterns(table, ours)
        fitting = TensorFitter(theirs, plan, ours)
        pairs = self._pairs(ours.layout, theirs.stages)
        sources = {ours.layers[pair.student]: pair for pair in pairs}
        lines = [self._transfer(key, table, ours, fitting, sources) for key in ours.names]
        if self.mimic_scan:
            lines = self._mimic(lines, student, ours, pairs)
        channels = {
            f'{taken} -> {wanted}': choice.sources.tolist()
            for (taken, wanted), choice in plan.residual_choices.items()
        }
        unused = [
            key for key in sorted(theirs.tensors) if not {key, _other_form(key)} & fitting.used
        ]
        report = TransferReport(lines, channels, unused, plan.state_rows)
        return report.of_tower(tower) if len(towers_of(student)) > 1 else report

    @torch.no_grad()
    def channels(self, student: nn.Module, teacher: nn.Module, tower: str) -> list[LayerChannels]:
        """What each mixer that stands for attention has of it; arguments as in :meth:`apply`."""
        ours = StudentWeights.of(student, tower)
        theirs, plan = self._plan(ours, teacher, tower)
        found = []
        for pair in self._pairs(ours.layout, theirs.stages):
            mixer = mimic_of(ours.mixer(ours.layers[pair.student]))
            if mixer is None or pair.part is LayerPart.MLP:
                continue
            out = theirs.tensors[f'layers.{pair.teacher}.attn.out.weight']
            values = plan.inside(INNER, pair.teacher, mixer.out_proj.in_features)
            outputs = plan.residual(len(out), mixer.out_proj.out_features)
            sources = values.sources, outputs.sources
            found.append(LayerChannels(pair, values.num_teacher, *sources))
        return found

    def check_parts(self, student: nn.Module, teacher: nn.Module, tower: str) -> None:
        """Make sure that the layer map names parts of layers for students that take them.

        Args:
            student, teacher (nn.Module): The models.
            tower (str): Which tower of both.

        Raises:
            UserError: A part for a student that takes layers whole.
        """
        ours, theirs = (layout_of(towers_of(m)[tower].backbone) for m in (student, teacher))
        self._pairs(ours, theirs.stage_depths())

    def _plan(
        self, student: StudentWeights, teacher: nn.Module | TeacherWeights, tower: str
    ) -> tuple[TeacherWeights, ChannelPlan]:
        """The teacher's weights, and which of its channels the student gets."""
        theirs = teacher
        if not isinstance(theirs, TeacherWeights):
            theirs = TeacherWeights.of(theirs, tower)
        table = self.table or _table_of(student.layout)
        pretrained = self._pretrained(teacher, tower)
        return theirs, ChannelPlan(table, theirs.tensors, sum(theirs.stages), pretrained)

    def _mimic(
        self,
        lines: Sequence[TransferLine],
        student: nn.Module,
        ours: StudentWeights,
        pairs: Sequence[LayerPair],
    ) -> list[TransferLine]:
        """Let the mixers that stand for attention start like it; their lines of the report."""
        changed = {line.student: line for line in lines}
        names = {id(parameter): name for name, parameter in student.named_parameters()}
        for pair in pairs:
            mixer = mimic_of(ours.mixer(ours.layers[pair.student]))
            if mixer is None or pair.part is LayerPart.MLP:
                continue
            before = [parameter.clone() for parameter in mixer.parameters()]
            mixer.pass_values()
            for parameter, old in zip(mixer.parameters(), before, strict=True):
                name = names[id(parameter)]
                line = changed[name]
                if line.status == 'skipped':
                    parameter.copy_(old)
                elif torch.equal(parameter, old):
                    continue
                elif line.num_cloned:
                    notes = [note for note in (line.slice, 'its gate open') if note]
                    changed[name] = replace(line, slice='; '.join(notes))
                else:
                    changed[name] = replace(line, status='mimic', rule=MIMIC)
        return list(changed.values())

    def _pairs(self, student: TokenLayout, teacher: Sequence[int]) -> list[LayerPair]:
        """Matched layers; UserError for parts of layers that the student's rules do not name."""
        pairs = self.layer_map.pairs(student.stage_depths(), teacher)
        for pair in pairs:
            if pair.part is not LayerPart.WHOLE and not (self.table or _table_of(student)).parts:
                raise UserError(
                    f"layer_map gives layer {pair.student} of the student '{pair}', but "
                    f'{student.family} takes a teacher layer whole: list {pair.teacher}, or use '
                    "'uniform'."
                )
        return pairs

    def _pretrained(
        self, teacher: nn.Module | TeacherWeights, tower: str
    ) -> Mapping[str, Tensor] | None:
        """Weights that the teacher was fine-tuned from, by canonical names."""
        state = self.pretrained
        if isinstance(state, str | Path):
            owner = f'What the teacher was fine-tuned from ({state})'
            state = load_state_dict(state)
            check_finite(state, owner, 'subcloning.pretrained')
        if state is None or isinstance(teacher, TeacherWeights):
            return state
        return TeacherWeights.of(teacher, tower, state).tensors

    def _transfer(
        self,
        key: str,
        table: StudentTable,
        student: StudentWeights,
        fitting: TensorFitter,
        sources: Mapping[str, LayerPair],
    ) -> TransferLine:
        """Set one parameter of the student; its line of the report.

        ``sources`` are the pairs of those student layers that have a teacher layer.
        """
        parameter = student.parameters[key]

        def line(status: str, rule: str, *details) -> TransferLine:
            shape = tuple(parameter.shape)
            name = student.names[key]
            return TransferLine(name, status, rule, shape, parameter.numel(), *details)

        if self._skips(student.names[key]):
            return line('skipped', 'listed in skip')
        rule, layer = _find_rule(table, key, sources)
        if rule is None:
            return line('initialized', 'no rule matches it')
        if isinstance(rule, Keep):
            return line('initialized', rule.reason)
        if isinstance(rule, Same):
            if not fitting.copy(key):
                return line('initialized', 'the teacher has no tensor of this name and shape')
            return line('cloned', 'same name', parameter.numel(), key)
        if isinstance(rule, Fixed):
            nn.init.constant_(parameter, rule.value)
            return line('mimic', rule.reason)
        if isinstance(rule, Start):
            values = getattr(student.mixer(layer), rule.values)()
            name = key.partition(rule.student.partition('.')[2].removesuffix('**'))[2]
            if name not in values:
                return line('initialized', rule.otherwise)
            parameter.copy_(values[name])
            return line('mimic', rule.reason)
        if layer and layer not in sources:
            return line('initialized', 'the layer map gives this layer no teacher')
        source = sources[layer].teacher if layer else None
        if rule.otherwise and rule.teacher.replace('#', str(source)) not in fitting.teacher:
            return line('initialized', rule.otherwise)
        fitted = fitting.fit(rule, key, source)
        return line(
            fitted.status, rule.name, fitted.value.numel(), fitted.source, '; '.join(fitted.notes)
        )

    def _skips(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.skip)

    def _check_patterns(self, table: StudentTable, student: StudentWeights) -> None:
        """Every rule and every skip pattern must be about something."""
        names = list(student.names.values())
        for pattern in self.skip:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UserError(
                    f'subcloning.skip has {pattern!r}, but the student has no such parameter. '
                    f'The nearest are: {nearest(pattern, names)}.'
                )
        for rule in table.rules:
            if not isinstance(rule, Clone) or rule.optional:
                continue
            if not any(match(rule.student, key, table.layer) is not None for key in student.names):
                raise UserError(
                    f'The rule {rule.name!r} takes {rule.teacher} of the teacher to '
                    f'{rule.student}, but the student has no such parameter. Set subcloning.table '
                    'to rules for this student.'
                )


def _other_form(key: str) -> str:
    """Of values that heads share, by their canonical name, those of each head; and the reverse."""
    head, values, rest = key.partition('.attn.v.')
    if values:
        return f'{head}.attn.shared_v.{rest}'
    return key.replace('.attn.shared_v.', '.attn.v.')


def _table_of(student: TokenLayout) -> StudentTable:
    """The rules of a student's family."""
    from transmamba_mm.transfer.subcloning import students  # noqa: F401  (they register themselves)

    for family in type(student).__mro__:
        if family in TABLES:
            return TABLES[family]
    known = ', '.join(sorted(family.__name__ for family in TABLES))
    raise UserError(
        f'There are no subcloning rules for {type(student).__name__}, only for {known}: set '
        'subcloning=None, or write a StudentTable for it.'
    )


def _find_rule(
    table: StudentTable, key: str, pairs: Mapping[str, LayerPair]
) -> tuple[Rule | None, str]:
    for rule in table.rules:
        if (layer := match(rule.student, key, table.layer)) is not None:
            part = pairs[layer].part if layer in pairs else None
            if rule.part is None or rule.part == part:
                return rule, layer
    return None, ''
