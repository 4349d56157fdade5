"""Rules that several student families share.

Attention moves values between tokens and so does a scan; both read the normalized stream through
one matrix and write to it through another. Those two matrices are what a block can inherit: value
becomes the x half of ``in_proj``, the attention's output becomes ``out_proj``. The gate z has no
counterpart and neither has the scan.

Names of modules are given without '.weight'.
"""

from transmamba_mm.transfer.subcloning.rules import OTHER, RES, RES_IN, Axis, Clone, Keep

INNER, INNER_IN, STATE = Axis.INNER, Axis.INNER_IN, Axis.STATE
HIDDEN, HIDDEN_IN, PATCH = Axis.HIDDEN, Axis.HIDDEN_IN, Axis.PATCH
LAYER, TEACHER = '{layer}', 'layers.#'
SCAN = "the scan keeps Mamba's initialization"
READ = 'dt, B and C are read from the scanned tokens, not from the stream as key and query are'


def norm(
    name: str, student: str, teacher: str, optional: bool = False, otherwise: str | None = None
) -> tuple[Clone, ...]:
    """A norm; an RMS norm has no bias to take."""

    def rule(part: str, optional: bool) -> Clone:
        keys = f'{student}.{part}', f'{teacher}.{part}'
        return Clone(name, *keys, (RES,), optional=optional, otherwise=otherwise)

    return rule('weight', optional), rule('bias', True)


def attention(mixer: str, bias: bool = False, optional: bool = False) -> tuple[Clone, ...]:
    """Value to what ``in_proj`` gives the scan, the attention's output to ``out_proj``.

    Args:
        mixer (str): Of a student layer.
        bias (bool): The student's projections have biases, which a teacher may lack.
        optional (bool): Not every student of the family has such mixers.
    """
    x, out = f'{LAYER}.{mixer}.in_proj', f'{LAYER}.{mixer}.out_proj'

    def without(part: str) -> str | None:
        return 'the attention of the teacher has no such bias' if part == 'bias' else None

    def value(part: str, *axes: Axis) -> Clone:
        keys = f'{x}.{part}', f'{TEACHER}.attn.v.{part}'
        rows_of, otherwise = f'{out}.weight', without(part)
        return Clone('value -> x', *keys, axes, rows_of, optional=optional, otherwise=otherwise)

    def output(part: str, *axes: Axis) -> Clone:
        name, source = 'attention output -> out_proj', f'{TEACHER}.attn.out.{part}'
        gain = f'{TEACHER}.scale1'
        return Clone(name, f'{out}.{part}', source, axes, None, gain, optional, without(part))

    rules = (value('weight', INNER, RES_IN), output('weight', RES, INNER_IN))
    return (*rules, value('bias', INNER), output('bias', RES)) if bias else rules


def keys_queries(mixer: str) -> tuple[Clone, ...]:
    """Query to C, key to B, of a causal mixer that reads both from the hidden state."""

    def rule(name: str, ours: str, theirs: str) -> Clone:
        keys = f'{LAYER}.{mixer}.{ours}.weight', f'{TEACHER}.attn.{theirs}.weight'
        return Clone(name, *keys, (STATE, RES_IN), optional=True)

    return rule('query -> C', 'C_proj', 'q'), rule('key -> B', 'B_proj', 'k')


def mlp(student: str) -> tuple[Clone, ...]:
    """An MLP with layers ``fc1`` and ``fc2``, perhaps gated, where a student has one."""

    def rule(key: str, axes: tuple[Axis, ...], gain: str | None = None) -> Clone:
        ours, theirs = f'{LAYER}.{student}.{key}', f'{TEACHER}.mlp.{key}'
        return Clone('MLP', ours, theirs, axes, gain=gain, optional=True)

    scale = f'{TEACHER}.scale2'
    return (
        rule('fc1.weight', (HIDDEN, RES_IN)),
        rule('fc1.bias', (HIDDEN,)),
        rule('gate.weight', (HIDDEN, RES_IN)),
        rule('gate.bias', (HIDDEN,)),
        rule('fc2.weight', (RES, HIDDEN_IN), scale),
        rule('fc2.bias', (RES,), scale),
    )


def patch_embedding(*kernel: Axis, optional: bool = False) -> tuple[Clone, ...]:
    """One convolution that cuts patches, whose kernel has these axes.

    It is ``optional`` where not every student of the family cuts them so.
    """
    name, ours, theirs = 'patch embedding', 'patch_embed.proj', 'patch_embed'
    axes = (RES, Axis.IMAGE, *kernel)
    return (
        Clone(name, f'{ours}.weight', f'{theirs}.weight', axes, optional=optional),
        Clone(name, f'{ours}.bias', f'{theirs}.bias', (RES,), optional=optional),
    )


CLS_TOKEN = Clone(
    'cls token',
    'cls_token',
    'cls_token',
    (OTHER, Axis.CLS, RES),
    optional=True,
    otherwise='the teacher has no cls token',
)
POSITIONS = Clone('positions', 'pos_embed', 'pos_embed', (OTHER, Axis.TOKENS, RES))
# Optional: where it is tied to the embeddings, it is not a separate parameter.
LANGUAGE_HEAD = Clone(
    'language head',
    'lm_head.weight',
    'lm_head.weight',
    (OTHER, RES_IN),
    optional=True,
    otherwise='unused: captions are encoded, not generated',
)
# A backbone may have no head; a projection to a common space, the head of a tower, has no bias.
HEAD = (
    Clone('head', 'head.weight', 'head.weight', (Axis.CLASSES, RES_IN), optional=True),
    Clone('head', 'head.bias', 'head.bias', (Axis.CLASSES,), optional=True),
)


def image_scan(mixer: str) -> tuple[Keep, ...]:
    """The scan behind one 2-D convolution for all directions."""
    return (
        Keep(f'{LAYER}.{mixer}.x_proj', READ),
        Keep(f'{LAYER}.{mixer}.x_proj.weight', READ),
        Keep(f'{LAYER}.{mixer}.**', SCAN),
    )
