"""Rules that several tables share.

Attention moves values between tokens and so does a scan; both read the normalized stream through
one matrix and write to it through another. Those two matrices are what a block can inherit: value
becomes the x half of ``in_proj``, the attention's output becomes ``out_proj``. The gate z has no
counterpart and neither has the scan.

Names are given without 'backbone.' where they are relative to a layer, and never with '.weight'.
"""

from torch import Tensor, nn

from transmamba_mm.transfer.rules.rule import Axis, Clone, Keep

RES, RES_IN, INNER, INNER_IN = Axis.RESIDUAL, Axis.RESIDUAL_IN, Axis.INNER, Axis.INNER_IN
HIDDEN, HIDDEN_IN, PATCH, OTHER = Axis.HIDDEN, Axis.HIDDEN_IN, Axis.PATCH, Axis.OTHER
STATE = Axis.STATE
LAYER = 'backbone.{layer}'
SCAN = "the scan keeps Mamba's initialization"
READ = 'dt, B and C are read from the scanned tokens, not from the stream as key and query are'


def norm(name: str, student: str, *teacher: str, optional: bool = False) -> tuple[Clone, ...]:
    """A norm from the first of the teacher's that exists; an RMS norm has no bias to take."""
    weights, biases = (tuple(f'{key}.{part}' for key in teacher) for part in ('weight', 'bias'))
    return (
        Clone(name, f'{student}.weight', weights, (RES,), optional=optional),
        Clone(name, f'{student}.bias', biases, (RES,), optional=True),
    )


def attention(
    mixer: str, qkv: str, proj: str, gain: str | None = None, bias: bool = False
) -> tuple[Clone, ...]:
    """Value to what ``in_proj`` gives the scan, the attention's output to ``out_proj``.

    Args:
        mixer (str): Of a student layer.
        qkv, proj (str): Of a teacher layer: stacked query, key and value; the output projection.
        gain (str, optional): Of a teacher layer: layer scale behind ``proj``.
        bias (bool): The student's projections have biases.
    """
    x, out = f'{LAYER}.{mixer}.in_proj', f'{LAYER}.{mixer}.out_proj'
    scale = f'{LAYER}.{gain}.weight' if gain else None

    def value(part: str, *axes: Axis) -> Clone:
        key = f'{LAYER}.{qkv}.{part}'
        return Clone('value -> x', f'{x}.{part}', (key,), axes, (2, 3), rows_of=f'{out}.weight')

    def output(part: str, *axes: Axis) -> Clone:
        key = f'{LAYER}.{proj}.{part}'
        name = 'attention output -> out_proj'
        return Clone(name, f'{out}.{part}', (key,), axes, gain=scale)

    rules = (value('weight', INNER, RES_IN), output('weight', RES, INNER_IN))
    return (*rules, value('bias', INNER), output('bias', RES)) if bias else rules


def mlp(
    student: str, teacher: tuple[str, str], gain: str | None = None, optional: bool = True
) -> tuple[Clone, ...]:
    """An MLP with layers ``fc1`` and ``fc2``, from the teacher's two and its layer scale."""
    first, second = (f'{LAYER}.{key}' for key in teacher)
    scale = f'{LAYER}.{gain}.weight' if gain else None
    fc1, fc2 = f'{LAYER}.{student}.fc1', f'{LAYER}.{student}.fc2'

    def rule(key: str, source: str, axes: tuple[Axis, ...], scale: str | None = None) -> Clone:
        return Clone('MLP', key, (source,), axes, gain=scale, optional=optional)

    return (
        rule(f'{fc1}.weight', f'{first}.weight', (HIDDEN, RES_IN)),
        rule(f'{fc1}.bias', f'{first}.bias', (HIDDEN,)),
        rule(f'{fc2}.weight', f'{second}.weight', (RES, HIDDEN_IN), scale),
        rule(f'{fc2}.bias', f'{second}.bias', (RES,), scale),
    )


# Of a distilled DeiT's two heads, the cls token's goes with the cls token. A projection to a common
# space, which is the head of a tower of CLIP, has no bias.
HEAD = (
    Clone(
        'head',
        'head.fc.weight',
        ('head.layers.head.weight', 'head.fc.weight'),
        (Axis.CLASSES, RES_IN),
    ),
    Clone(
        'head',
        'head.fc.bias',
        ('head.layers.head.bias', 'head.fc.bias'),
        (Axis.CLASSES,),
        optional=True,
    ),
)


def last_tap(weight: Tensor) -> None:
    """Identity: tap of the current token 1, others 0."""
    nn.init.zeros_(weight)
    weight[..., -1] = 1.0  # a causal convolution: the last tap is the token itself


def center_tap(weight: Tensor) -> None:
    """Identity: tap in the center 1, others 0."""
    nn.init.zeros_(weight)
    weight[..., weight.shape[-2] // 2, weight.shape[-1] // 2] = 1.0


def no_bias(bias: Tensor) -> None:
    """Identity: bias 0."""
    nn.init.zeros_(bias)


def image_scan(mixer: str) -> tuple[Keep, ...]:
    """The scan behind one 2-D convolution for all directions."""
    return (
        Keep(f'{LAYER}.{mixer}.conv.weight', SCAN, mimic=center_tap),
        Keep(f'{LAYER}.{mixer}.conv.bias', SCAN, mimic=no_bias),
        Keep(f'{LAYER}.{mixer}.x_proj', READ),
        Keep(f'{LAYER}.{mixer}.x_proj.weight', READ),
        Keep(f'{LAYER}.{mixer}.**', SCAN),
    )
