"""Rules of a student family: Transformer weights and their target parameters."""

from dataclasses import dataclass
from enum import Enum

from transmamba_mm.models.layouts import LayerPart, TokenLayout


class Axis(Enum):
    """Meaning of one axis of a weight tensor.

    ``*_IN`` marks a fan-in: an axis that is summed over when the tensor is applied.
    """

    RESIDUAL = 'residual channels'
    RESIDUAL_IN = 'residual channels read'
    INNER = 'inner channels'
    INNER_IN = 'inner channels read'
    HIDDEN = 'hidden channels of the MLP'
    HIDDEN_IN = 'hidden channels of the MLP read'
    GATE = 'hidden channels of the MLP, as gates'
    GATE_IN = 'hidden channels of the MLP, as gates read'
    STATE = 'rows of query and key'
    CLASSES = 'classes'
    IMAGE = 'image channels'
    FRAMES = 'frames of a tubelet'
    PATCH = 'pixels of a patch'
    TOKENS = 'positions'
    CLS = 'cls tokens'
    OTHER = 'entries'


RES, RES_IN, OTHER = Axis.RESIDUAL, Axis.RESIDUAL_IN, Axis.OTHER

#: Canonical teacher tensors that read or write a residual stream, with their axes: together they
#: rank its channels. Tensors of one line count as one.
STREAM: dict[tuple[str, ...], tuple[Axis, ...]] = {
    ('layers.#.norm1.weight',): (RES,),
    ('layers.#.attn.q.weight', 'layers.#.attn.k.weight', 'layers.#.attn.v.weight'): (OTHER, RES_IN),
    ('layers.#.attn.out.weight',): (RES, OTHER),
    ('layers.#.attn.out.bias',): (RES,),
    ('layers.#.norm2.weight',): (RES,),
    ('layers.#.mlp.gate.weight',): (OTHER, RES_IN),
    ('layers.#.mlp.fc1.weight',): (OTHER, RES_IN),
    ('layers.#.mlp.fc2.weight',): (RES, OTHER),
    ('layers.#.mlp.fc2.bias',): (RES,),
    ('patch_embed.weight',): (RES, OTHER, OTHER, OTHER),
    ('patch_embed.bias',): (RES,),
    ('patch_norm.weight',): (RES,),
    ('stages.#.downsample.reduction.weight',): (RES, OTHER),
    ('token_embed.weight',): (OTHER, RES),
    ('cls_token',): (OTHER, OTHER, RES),
    ('dist_token',): (OTHER, OTHER, RES),
    ('pos_embed',): (OTHER, OTHER, RES),
    ('norm.weight',): (RES,),
    ('head.weight',): (OTHER, RES_IN),
    ('head_dist.weight',): (OTHER, RES_IN),
    ('lm_head.weight',): (OTHER, RES_IN),
}
#: Canonical names of the tokens before the patches, in order.
CLS_TOKENS = ('cls_token', 'dist_token')


@dataclass(frozen=True)
class NormFold:
    """A norm of the teacher, folded into the following projection.

    The teacher computes ``W (g * n(x) + b) + c`` of a LayerNorm, with the normalized n(x). The norm
    of the student gets the weight 1, and its projection ``W diag(g) (I - 11^T / D)``, which takes
    the mean of the channels off, as an RMS norm does not. The constant ``W b + c`` goes to the bias
    of the projection. Without one it goes through the norm's bias, which becomes 1: the channels of
    n(x) add up to 0, so ``(W b + c) 1^T / D`` on top of the projection reads it exactly. A student
    that has neither does without.

    Attributes:
        norm, linear (str): Canonical names of the norm, and of W and c.
        in_bias, norm_bias (str): The two biases of the student.
    """

    norm: str
    linear: str
    in_bias: str
    norm_bias: str


@dataclass(frozen=True)
class Clone:
    """Student weights that start from teacher weights.

    Attributes:
        name (str): What the rule does, for the report.
        student (str): The student's parameter, relative to its tower; ``{layer}`` stands for the
            path of a layer.
        teacher (str): Canonical name of the teacher's tensor (see ``TokenLayout``); ``#`` stands
            for the number of the layer that the layer map gives.
        axes (tuple[Axis, ...]): What each axis is, the same for both tensors; only the student's
            has the axis ``FRAMES``.
        rows_of (str | None): The student's matrix that reads what this parameter writes: the rule
            is about as many of its first rows as that one has columns. By default all.
        last_rows (bool): About the last rows instead.
        gain (str | None): Canonical name of a factor per entry of axis 0 that is multiplied in; a
            teacher without it has no such factor.
        slope (int): Power of the slope of the MLP's activation that is multiplied in (see
            ``SLOPES``): 1 in front of it, -1 behind it.
        fold (NormFold | None): The norm in front, which is folded into the matrix or its bias.
        refit (NormFold | None): Where a student has fewer hidden channels, let them do the work of
            all (:func:`~transmamba_mm.transfer.subcloning.refit.hidden_refit`). What is in front.
        optional (bool): Not every student of the family has the parameter.
        otherwise (str | None): Why the parameter keeps its own initialization if the teacher lacks
            the tensor. By default that is an error.
        part (LayerPart | None): Only about layers that are matched with this part of a teacher
            layer; by default about all.
    """

    name: str
    student: str
    teacher: str
    axes: tuple[Axis, ...]
    rows_of: str | None = None
    gain: str | None = None
    optional: bool = False
    otherwise: str | None = None
    last_rows: bool = False
    slope: int = 0
    fold: NormFold | None = None
    refit: NormFold | None = None
    part: LayerPart | None = None


@dataclass(frozen=True)
class Keep:
    """Student weights that keep their own initialization, and why.

    Attributes:
        student (str): As in :class:`Clone`; ``*`` stands for one name and ``**`` for any number.
        reason (str): For the report.
        part (LayerPart | None): As in :class:`Clone`.
    """

    student: str
    reason: str
    part: LayerPart | None = None


@dataclass(frozen=True)
class Same:
    """Student weights that the teacher has under the same name and of the same shape; others stay.

    Attributes:
        student (str): As in :class:`Keep`.
        part (LayerPart | None): As in :class:`Clone`.
    """

    student: str
    part: LayerPart | None = None


@dataclass(frozen=True)
class Fixed:
    """Student weights that are all set to one value.

    Attributes:
        student (str): As in :class:`Keep`.
        value (float): The value.
        reason (str): For the report.
        part (LayerPart | None): As in :class:`Clone`.
    """

    student: str
    value: float
    reason: str
    part: LayerPart | None = None


@dataclass(frozen=True)
class Start:
    """Parameters of a mixer that start from values of its own choice.

    Attributes:
        student (str): As in :class:`Keep`, below the mixer.
        values (str): Method of the mixer that returns them, by name; others keep their
            initialization.
        reason (str): What they do, for the report.
        otherwise (str): Why the others are kept.
        part (LayerPart | None): As in :class:`Clone`.
    """

    student: str
    values: str
    reason: str
    otherwise: str
    part: LayerPart | None = None


Rule = Clone | Keep | Same | Fixed | Start


@dataclass(frozen=True)
class StudentTable:
    """All rules of a student family. The table takes part by being made.

    Attributes:
        family (type[TokenLayout]): The backbone, or the layout of a backbone of another library.
        layer (str): Path of a layer, ``#`` for every number: ``'stages.#.blocks.#'``.
        rules (tuple[Rule, ...]): The first whose pattern and part fit a parameter counts.
    """

    family: type[TokenLayout]
    layer: str
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        TABLES[self.family] = self

    @property
    def parts(self) -> set[LayerPart]:
        """Parts of a teacher layer that some rule is about alone."""
        return {rule.part for rule in self.rules if rule.part}


#: By family.
TABLES: dict[type[TokenLayout], StudentTable] = {}
