"""Stage 1: the student's weights start from slices of the teacher's."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.checks import FLAG, checked, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.models.teachers.transformers_layout import transformers_layout
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.channels import ChannelPlan
from transmamba_mm.transfer.layer_map import LayerMap
from transmamba_mm.transfer.layer_names import count_stages, find_layers, match
from transmamba_mm.transfer.rules import Clone, Keep, Refuse, RuleTable, load_rules
from transmamba_mm.transfer.teacher import check_finite
from transmamba_mm.transfer.tensor_fitting import TensorFitting
from transmamba_mm.transfer.transfer_report import TransferLine, TransferReport

IMPORTANCES = ('magnitude', 'stability')


@MODELS.register_module()
class WeightSubcloning:
    """Weight subcloning (TransMamba, arXiv 2502.15130; after Samragh et al., arXiv 2312.09299).

    Everything but the scan starts from the Transformer, by the named rules of a table. Different
    widths: the channels of a residual stream are ranked once for the whole network, so all slices
    of one width agree, and slices are rescaled so that activations keep their variance; a wider
    student is padded with its own initialization. Different depths: the layer map decides.

    Args:
        rules (str | RuleTable): A file of ``transfer/rules``, or a table.
        importance (str): 'magnitude', or 'stability': channels that change little between
            ``pretrained`` and the teacher (the paper's choice where both exist).
        pretrained (str | Mapping, optional): Weights the teacher was fine-tuned from: anything
            :func:`transmamba_mm.checkpoint.load_state_dict` reads. 'stability' needs it.
        layer_map (str | dict | list | LayerMap): See :class:`LayerMap`; a student layer without a
            teacher keeps its initialization ('first_n': v2's selective subcloning).
        skip (Sequence[str]): Glob patterns of student keys that are left alone.
        mimic_scan (bool): Start each scan's convolution as the identity (the tap of the current
            token 1, the others and the bias 0), so that the scan sees SiLU of the cloned values and
            nothing else. dt, A, D and the projections keep Mamba's initialization.

    Raises:
        UserError: Unknown rules or importance, or one that does not go with ``pretrained``.
    """

    @checked(importance=one_of(*IMPORTANCES), mimic_scan=FLAG)
    def __init__(
        self,
        rules: str | RuleTable = 'vit_to_vim',
        importance: str = 'magnitude',
        pretrained: str | Path | Mapping[str, Tensor] | None = None,
        layer_map: str | Mapping | Sequence[int | None] | LayerMap = 'uniform',
        skip: Sequence[str] = (),
        mimic_scan: bool = False,
    ) -> None:
        if (importance == 'stability') != (pretrained is not None):
            raise UserError(
                "importance='stability' and pretrained belong together: set subcloning.pretrained "
                'to the checkpoint the teacher was fine-tuned from, or set neither.'
            )
        self.table = load_rules(rules) if isinstance(rules, str) else rules
        self.pretrained = pretrained
        self.layer_map = LayerMap.from_config(layer_map)
        self.skip = [skip] if isinstance(skip, str) else list(skip)
        self.mimic_scan = mimic_scan

    @torch.no_grad()
    def apply(
        self, student: nn.Module, teacher: nn.Module | Mapping[str, Tensor]
    ) -> TransferReport:
        """Overwrite the student's weights where a rule says so.

        Args:
            student (nn.Module): Has a ``backbone`` that is a ``TokenBackbone`` or, as ``MambaLM``,
                tells its ``layer_paths`` like one, or a text Transformer of transformers.
            teacher (nn.Module | Mapping): The teacher or its state dict.

        Returns:
            TransferReport: One line for each parameter of the student.

        Raises:
            UserError: A rule that matches nothing, a shape that cannot be met, a skip pattern that
                fits nothing; the message names both keys.
        """
        backbone: Any = getattr(student, 'backbone', None)
        layout = transformers_layout(backbone) or backbone
        if not hasattr(layout, 'layer_paths'):
            raise UserError(
                f'Subcloning needs a student with one of our backbones; {type(student).__name__} '
                f'has {type(backbone).__name__} for a backbone.'
            )
        state = teacher.state_dict() if isinstance(teacher, nn.Module) else dict(teacher)
        parameters = dict(student.named_parameters())
        pretrained = self.pretrained
        if isinstance(pretrained, str | Path):
            source, pretrained = pretrained, load_state_dict(pretrained)
            owner = f'What the teacher was fine-tuned from ({source})'
            check_finite(pretrained, owner, 'subcloning.pretrained')
        student_layers = layout.layer_paths()
        self._check_family(backbone, student_layers)
        self._check_patterns(list(parameters))
        plan = ChannelPlan(self.table, state, pretrained)
        grid = getattr(getattr(teacher, 'backbone', None), 'patch_resolution', None)
        fitting = TensorFitting(state, plan, student, grid)
        teacher_layers = find_layers(self.table.teacher_layer, state)
        pairs = self.layer_map.pairs(count_stages(student_layers), count_stages(teacher_layers))
        sources = {student_layers[i]: teacher_layers[j] for i, j in pairs}

        report = TransferReport()
        for key, parameter in parameters.items():
            report.lines.append(self._transfer(key, parameter, fitting, sources))
        report.residual_channels = {
            f'{taken} -> {wanted}': choice.sources.tolist()
            for (taken, wanted), choice in plan.residual_choices.items()
        }
        report.state_rows = plan.state_rows
        report.unused = sorted(set(state) - fitting.used)
        return report

    def _transfer(
        self,
        key: str,
        parameter: nn.Parameter,
        fitting: TensorFitting,
        sources: Mapping[str, str],
    ) -> TransferLine:
        """Set one parameter of the student; its line of the report.

        ``sources`` are the teacher layers of those student layers that have one.
        """

        def line(status: str, rule: str, *details) -> TransferLine:
            return TransferLine(
                key, status, rule, tuple(parameter.shape), parameter.numel(), *details
            )

        if self._skips(key):
            return line('skipped', 'listed in skip')
        rule, layer = self._find_rule(key)
        if rule is None or isinstance(rule, Refuse):  # what is refused has to be skipped above
            return line('initialized', 'no rule is about it')
        if isinstance(rule, Keep):
            if rule.mimic is None or not self.mimic_scan:
                return line('initialized', rule.reason)
            rule.mimic(parameter)
            return line('mimic', (rule.mimic.__doc__ or '').partition('\n')[0])
        if layer and layer not in sources:
            return line('initialized', 'the layer map gives this layer no teacher')
        fitted = fitting.fit(rule, key, sources.get(layer, ''))
        return line(
            fitted.status, rule.name, fitted.value.numel(), fitted.source, '; '.join(fitted.notes)
        )

    def _find_rule(self, key: str) -> tuple[Clone | Keep | Refuse | None, str]:
        for rule in self.table.rules:
            if (layer := match(rule.student, key, self.table.student_layer)) is not None:
                return rule, layer
        return None, ''

    def _skips(self, key: str) -> bool:
        return any(fnmatchcase(key, pattern) for pattern in self.skip)

    def _check_family(self, backbone: nn.Module, layers: Sequence[str]) -> None:
        """The layers must be called as the rules say; the rest shows in :meth:`_check_patterns`."""
        if any(match('{layer}', layer, self.table.student_layer) is None for layer in layers):
            raise UserError(
                f'The rules are about students whose layers are called {self.table.student_layer}, '
                f'but those of {type(backbone).__name__} are called {layers[0]}: choose rules that '
                'are about this student (subcloning.rules).'
            )

    def _check_patterns(self, keys: list[str]) -> None:
        """Every rule and every skip pattern must be about something."""
        form = self.table.student_layer
        first = form.replace('#', '0')
        patterns = [rule.student.replace('{layer}', first) for rule in self.table.rules]
        for pattern in self.skip:
            if not any(fnmatchcase(key, pattern) for key in keys + patterns):
                nearest = get_close_matches(pattern, keys, n=3, cutoff=0.0)
                raise UserError(
                    f'subcloning.skip has {pattern!r}, but the student has no such parameter. '
                    f'The nearest are: {", ".join(map(repr, nearest))}.'
                )
        for key in keys:
            rule, _ = self._find_rule(key)
            if isinstance(rule, Refuse) and not self._skips(key):
                raise UserError(
                    f'{key} of the student starts from {rule.teacher} of the teacher, but the '
                    f'rules leave both alone: {rule.fix}, or add {key!r} to subcloning.skip.'
                )
        for rule, pattern in zip(self.table.rules, patterns, strict=True):
            if not isinstance(rule, Clone) or rule.optional or self._skips(pattern):
                continue
            if not any(match(rule.student, key, form) is not None for key in keys):
                raise UserError(
                    f'The rule {rule.name!r} takes {" or ".join(rule.teacher)} of the teacher to '
                    f'{rule.student}, but the student has no such parameter. Choose rules that are '
                    f'about this student, or add {pattern!r} to subcloning.skip.'
                )
