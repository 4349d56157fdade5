"""Cut one teacher tensor to the shape of one student parameter."""

import torch
from torch import Tensor

from transmamba_mm.errors import UserError, nearest
from transmamba_mm.transfer.subcloning.channel_choice import ChannelChoice
from transmamba_mm.transfer.subcloning.channels import (
    GATE,
    HIDDEN,
    INNER,
    RESIDUAL,
    STATE,
    ChannelPlan,
)
from transmamba_mm.transfer.subcloning.fitted_tensor import FittedTensor
from transmamba_mm.transfer.subcloning.folding import NormFolder, slope_of
from transmamba_mm.transfer.subcloning.grid_fitting import GridFitter, share_cls
from transmamba_mm.transfer.subcloning.names import match
from transmamba_mm.transfer.subcloning.rules import CLS_TOKENS, Axis, Clone, NormFold
from transmamba_mm.transfer.subcloning.sides import StudentWeights, TeacherWeights

FAN_INS = (Axis.RESIDUAL_IN, Axis.INNER_IN, Axis.HIDDEN_IN, Axis.GATE_IN)
EQUAL = (Axis.CLASSES, Axis.IMAGE, Axis.OTHER)


class TensorFitter:
    """Fits teacher tensors to a student: channels, patches, cls tokens, positions.

    Args:
        teacher (TeacherWeights): The teacher's weights.
        plan (ChannelPlan): The channels that the student gets.
        student (StudentWeights): Its layout gives the positions of patches and cls tokens.

    Attributes:
        used (set[str]): Teacher tensors that some student parameter has taken from.
    """

    def __init__(self, teacher: TeacherWeights, plan: ChannelPlan, student: StudentWeights) -> None:
        self.teacher = teacher.tensors
        self.weights = teacher
        self.plan = plan
        self.parameters = student.parameters
        self.names = student.names
        self.widths = set(student.layout.layer_dims())
        self.cls_keys = [key for key in CLS_TOKENS if key in self.teacher]
        self.of_grid = GridFitter(student.layout, teacher.grid, len(self.cls_keys))
        self.used: set[str] = set()

    def fit(self, rule: Clone, key: str, layer: int | None) -> FittedTensor:
        """Write into a student parameter what ``rule`` takes from teacher layer ``layer``.

        Args:
            rule (Clone): The rule.
            key (str): The parameter's key; overwritten in place, where the rule reaches.
            layer (int, optional): Number of the teacher layer; None for a rule that is about none.

        Raises:
            UserError: The teacher lacks the tensor, or its shape cannot be met.
        """
        fitted = self._open(rule, key, layer)
        folder = self._folder(rule.fold, fitted)
        if folder:
            matrix = fitted.value
            fitted.value = (
                folder.scale(matrix) if matrix.dim() > 1 else folder.constant().to(matrix)
            )
        if Axis.PATCH in rule.axes:
            self.of_grid.fit_patch(fitted)
        for axis, meaning in enumerate(rule.axes):
            if meaning in RESIDUAL + INNER + HIDDEN + GATE + STATE:
                self._fit_channels(fitted, axis)
            elif meaning is Axis.CLS:
                fitted.value = share_cls(fitted.value, fitted.target.shape[axis])
        if Axis.TOKENS in rule.axes:
            self.of_grid.fit_positions(fitted)
        for axis, meaning in enumerate(rule.axes):
            taken, wanted = fitted.sizes(axis)
            if meaning in EQUAL and taken != wanted:
                raise fitted.misfit(f'{taken} {meaning.value} against {wanted}', meaning)
        if folder and fitted.value.dim() > 1:
            fitted.value, note = folder.read(fitted.value, self._choice_inside(fitted, 0))
            fitted.notes.append(note)
        if rule.slope:
            factor = slope_of(rule, self.weights) ** rule.slope
            fitted.value = fitted.value * factor
            fitted.notes.append(f'times {factor:.4g}')
        fitted.target[tuple(fitted.region)] = fitted.value
        self.used |= {fitted.source, *(folder.used if folder else ())}
        return fitted

    def copy(self, key: str) -> bool:
        """Overwrite a student parameter by the teacher's of that name; False if none fits."""
        if key not in self.teacher or self.teacher[key].shape != self.parameters[key].shape:
            return False
        self.parameters[key].copy_(self.teacher[key])
        self.used.add(key)
        return True

    def _open(self, rule: Clone, key: str, layer: int | None) -> FittedTensor:
        """Return the teacher's tensor and the rows of the parameter that the rule covers."""
        parameter = self.parameters[key]
        source = rule.teacher.replace('#', str(layer))
        if source not in self.teacher:
            raise UserError(
                f'The rule {rule.name!r} takes {source} of the teacher to {self.names[key]} of the '
                'student, but the teacher has no such tensor; the nearest are '
                f'{nearest(source, self.teacher)}. Use another teacher, or add '
                f'{self.names[key]!r} to subcloning.skip.'
            )
        value = self.teacher[source].to(parameter)
        target = self._rows(rule, key)
        fitted = FittedTensor(
            rule,
            layer,
            key,
            source,
            self.names[key],
            tuple(value.shape),
            value,
            target,
            [slice(None)] * target.dim(),
        )
        num_axes = target.dim() - (Axis.FRAMES in rule.axes)
        if value.dim() == num_axes + 1 and len(value) == 1:  # positions of text are a table
            fitted.value = value = value[0]
        if target.dim() != len(rule.axes) or value.dim() != num_axes:
            raise fitted.misfit(f'{value.dim()} axes where {num_axes} are expected')
        if len(target) < len(parameter):
            which = 'last' if rule.last_rows else 'first'
            fitted.notes.append(f'to the {which} {len(target)} of {len(parameter)} rows')
        gain = rule.gain.replace('#', str(layer)) if rule.gain else ''
        if gain in self.teacher and not self._has(rule.gain or '', fitted):
            factor = self.teacher[gain].to(value)
            fitted.value = value * factor.view(-1, *[1] * (value.dim() - 1))
            fitted.notes.append(f'times {gain}')
            self.used.add(gain)
        if Axis.CLS in rule.axes:
            tokens = [self.teacher[name].to(parameter) for name in self.cls_keys]
            self.used.update(self.cls_keys[: target.shape[rule.axes.index(Axis.CLS)]])
            fitted.value = torch.cat(tokens, dim=rule.axes.index(Axis.CLS))
        return fitted

    def _path(self, rule: Clone, key: str) -> str:
        """Path of the student's layer that a parameter is of."""
        return match(rule.student, key, self.plan.table.layer) or ''

    def _has(self, name: str, fitted: FittedTensor) -> bool:
        """Whether the student's layer has a canonical parameter of its own."""
        return name.replace('layers.#', self._path(fitted.rule, fitted.key)) in self.parameters

    def _folder(self, fold: NormFold | None, fitted: FittedTensor) -> NormFolder | None:
        if fold is None:
            return None
        assert fitted.layer is not None, 'a norm is of a layer'
        path = self._path(fitted.rule, fitted.key)
        return NormFolder(fold, self.weights, fitted.layer, self.parameters, path)

    def _rows(self, rule: Clone, key: str) -> Tensor:
        """View of the rows of a student parameter that a rule is about."""
        if rule.rows_of is None:
            return self.parameters[key]
        reader = self.parameters[rule.rows_of.replace('{layer}', self._path(rule, key))]
        rows = self.parameters[key]
        return rows[-reader.shape[1] :] if rule.last_rows else rows[: reader.shape[1]]

    def _choice_inside(self, fitted: FittedTensor, axis: int) -> ChannelChoice:
        """The choice of channels inside a block."""
        meaning = fitted.rule.axes[axis]
        channels = next(kind for kind in (INNER, HIDDEN, GATE, STATE) if meaning in kind)
        assert fitted.layer is not None, 'channels inside a block are of a layer'
        return self.plan.inside(channels, fitted.layer, fitted.target.shape[axis])

    def _fit_channels(self, fitted: FittedTensor, axis: int) -> None:
        meaning, (taken, wanted) = fitted.rule.axes[axis], fitted.sizes(axis)
        if meaning in RESIDUAL:
            streams, own = self.plan.stream_widths, self.widths
            if fitted.rule.name == 'head':  # perhaps behind a projector to the teacher's width
                own = own | {taken}
            for size, real, side in ((taken, streams, 'teacher'), (wanted, own, 'student')):
                if size not in real:
                    widths = ', '.join(map(str, sorted(real)))
                    raise fitted.misfit(
                        f'{size} {meaning.value}, but the {side} has streams of {widths}'
                    )
            choice = self.plan.residual(taken, wanted)
        else:
            choice = self._choice_inside(fitted, axis)
            if taken != choice.num_teacher:
                raise fitted.misfit(f'{taken} {meaning.value}, not {choice.num_teacher}')
        folder = self._folder(fitted.rule.refit, fitted)
        if folder and meaning in GATE and choice.kind == 'sliced':
            refit = folder.refit(fitted.rule, choice)
            fitted.value = fitted.value @ refit.to(fitted.value)
            fitted.notes.append('refitted to do the work of all')
        else:
            fitted.value = choice.take(fitted.value, axis, meaning in FAN_INS)
        fitted.region[axis] = slice(len(choice.sources))
        if choice.kind != 'cloned':
            fitted.note(choice.kind, f'{choice} {meaning.value}')
