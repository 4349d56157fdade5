"""What a student family takes from a Transformer, and into which of its weights."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from transmamba_mm.models.layouts import TokenLayout


class Axis(Enum):
    """What the entries along one axis of a weight tensor are.

    ``*_IN`` marks a fan-in: an axis that is summed over when the tensor is applied.
    """

    RESIDUAL = 'residual channels'
    RESIDUAL_IN = 'residual channels read'
    INNER = 'inner channels'
    INNER_IN = 'inner channels read'
    HIDDEN = 'hidden channels of the MLP'
    HIDDEN_IN = 'hidden channels of the MLP read'
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
        gain (str | None): Canonical name of a factor per entry of axis 0 that is multiplied in; a
            teacher without it has no such factor.
        optional (bool): Not every student of the family has the parameter.
        otherwise (str | None): Why the parameter keeps its own initialization if the teacher lacks
            the tensor. By default that is an error.
    """

    name: str
    student: str
    teacher: str
    axes: tuple[Axis, ...]
    rows_of: str | None = None
    gain: str | None = None
    optional: bool = False
    otherwise: str | None = None


@dataclass(frozen=True)
class Keep:
    """Student weights that keep their own initialization, and why.

    Attributes:
        student (str): As in :class:`Clone`; ``*`` stands for one name and ``**`` for any number.
        reason (str): For the report.
        mimic (Callable | None): What ``mimic_scan=True`` does to the parameter, in place. The first
            line of its docstring goes into the report.
    """

    student: str
    reason: str
    mimic: Callable[[Tensor], None] | None = None


@dataclass(frozen=True)
class Same:
    """Student weights that the teacher has under the same name and of the same shape; others stay.

    Attributes:
        student (str): As in :class:`Keep`.
    """

    student: str


Rule = Clone | Keep | Same


@dataclass(frozen=True)
class StudentTable:
    """All rules of a student family. The table takes part by being made.

    Attributes:
        family (type[TokenLayout]): The backbone, or the layout of a backbone of another library.
        layer (str): Path of a layer, ``#`` for every number: ``'stages.#.blocks.#'``.
        rules (tuple[Clone | Keep | Same, ...]): The first whose pattern fits a parameter counts.
    """

    family: type[TokenLayout]
    layer: str
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        TABLES[self.family] = self


#: By family.
TABLES: dict[type[TokenLayout], StudentTable] = {}
