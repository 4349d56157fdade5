"""An MLP in a block that has none: ``out_proj(SiLU(z))`` behind a scan that gives 1.

For Mamba blocks ``x + out_proj(scan * SiLU(z))``, ``x, z = in_proj(norm(x))``, where they are
matched with the MLP of a teacher layer. GELU(a) is SiLU(1.702 a) / 1.702
to within 0.0203 (Hendrycks & Gimpel, arXiv 1606.08415), so z takes ``1.702 fc1`` and ``out_proj``
takes ``fc2 / 1.702``: of as many hidden channels, the most important ones, as the mixer is wide. A
mixer that expands 2 times has half of those of an MLP that expands 4 times; ``fc2`` is refitted so
that they do the work of all. The norm is folded into z.

What is lost at the start:

* what the kept hidden channels cannot do for the others;
* the difference of the activations; none of quick_gelu, which is ``a sigmoid(1.702 a)``;
* ``fc2.bias``, where ``out_proj`` has no bias; ``fc1.bias`` and the bias of the norm, where neither
  ``in_proj`` nor the student's norm has one;
* behind an RMS norm the ratio of a token's standard deviation and root mean square, which is 1
  where its channels have mean 0.

And the scan, which is a constant until it is trained.
"""

from dataclasses import replace

from transmamba_mm.models.layouts import LayerPart
from transmamba_mm.transfer.subcloning.common import LAYER, RES, RES_IN, SCAN, TEACHER
from transmamba_mm.transfer.subcloning.rules import Axis, Clone, Fixed, NormFold, Rule, Start

NAME, PART = 'MLP -> gates', LayerPart.MLP
FC1, FC2 = f'{TEACHER}.mlp.fc1', f'{TEACHER}.mlp.fc2'
IN, OUT, NORM = f'{LAYER}.mixer.in_proj', f'{LAYER}.mixer.out_proj', f'{LAYER}.norm'

FOLD = NormFold(f'{TEACHER}.norm2', FC1, in_bias=f'{IN}.bias', norm_bias=f'{NORM}.bias')
Z = Clone(
    NAME,
    f'{IN}.weight',
    f'{FC1}.weight',
    (Axis.GATE, RES_IN),
    rows_of=f'{OUT}.weight',
    last_rows=True,
    fold=FOLD,
    slope=1,
    part=PART,
)
Z_BIAS = replace(Z, student=f'{IN}.bias', teacher=f'{FC1}.bias', axes=(Axis.GATE,), optional=True)
OUTPUT = Clone(
    NAME,
    f'{OUT}.weight',
    f'{FC2}.weight',
    (RES, Axis.GATE_IN),
    gain=f'{TEACHER}.scale2',
    refit=FOLD,
    slope=-1,
    part=PART,
)
OUTPUT_BIAS = Clone(
    NAME,
    f'{OUT}.bias',
    f'{FC2}.bias',
    (RES,),
    gain=f'{TEACHER}.scale2',
    optional=True,
    part=PART,
)
SCAN_IS_ONE = Start(
    f'{LAYER}.mixer.**', 'constant_scan', 'the scan gives 1, so the block is an MLP', SCAN, PART
)
FOLDED = Fixed(f'{NORM}.*', 1.0, "the teacher's norm is folded into in_proj", PART)
#: For students whose layers have a ``norm`` and a ``mixer``.
GATES: tuple[Rule, ...] = (FOLDED, Z, Z_BIAS, OUTPUT, OUTPUT_BIAS, SCAN_IS_ONE)
