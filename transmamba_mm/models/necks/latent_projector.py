"""The space in which a student's tokens are compared with a teacher's."""

import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, checked, one_of
from transmamba_mm.registry import MODELS

KINDS = ('linear', 'mlp', 'pad_mlp')


@MODELS.register_module()
class LatentProjector(nn.Module):
    """Bring student and teacher tokens into one space ("feature calibration", TransMamba v1).

    The paper's choice:

    * ``'pad_mlp'``: the narrower side is padded with zeros to the width of the wider one, then
      *one* simple MLP projects both. The MLP is trained by the comparison itself, and nothing stops
      it from mapping every token to one point, where any two models agree: it can cheat by
      collapsing.

    Ours, which cannot, because the teacher's side has no parameters and both sides are normalized
    per token (layer norm without affine), so that a constant student stays far from the teacher:

    * ``'linear'``: the student goes through one matrix to the teacher's width. It starts as the
      identity, which is the paper's zero padding (or a cut, when the student is the wider one), so
      that a student cloned from its teacher is near it from the first step.
    * ``'mlp'``: linear, GELU, linear.

    Args:
        student_dims (int): Width Ds of the student's tokens.
        teacher_dims (int): Width Dt of the teacher's; smaller or larger than Ds.
        kind (str): 'linear', 'mlp' or 'pad_mlp'.

    Raises:
        UserError: An unknown kind.
    """

    @checked(student_dims=COUNT, teacher_dims=COUNT, kind=one_of(*KINDS))
    def __init__(self, student_dims: int, teacher_dims: int, kind: str = 'linear') -> None:
        super().__init__()
        self.kind = kind
        self.width = max(student_dims, teacher_dims) if kind == 'pad_mlp' else teacher_dims
        if kind == 'linear':
            self.project = nn.Linear(student_dims, self.width)
            nn.init.eye_(self.project.weight)
            nn.init.zeros_(self.project.bias)
        else:
            self.project = nn.Sequential(
                nn.Linear(self.width if kind == 'pad_mlp' else student_dims, self.width),
                nn.GELU(),
                nn.Linear(self.width, self.width),
            )

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Project (..., Ds) and (..., Dt); both come back with one width.

        Returns:
            tuple[Tensor, Tensor]: The student's and the teacher's tokens, (..., D') each, where D'
            is Dt, or max(Ds, Dt) for 'pad_mlp'.
        """
        if self.kind == 'pad_mlp':
            return self.project(self._pad(student)), self.project(self._pad(teacher))
        return self._normalize(self.project(student)), self._normalize(teacher)

    def _pad(self, tokens: Tensor) -> Tensor:
        return F.pad(tokens, (0, self.width - tokens.shape[-1]))

    def _normalize(self, tokens: Tensor) -> Tensor:
        return F.layer_norm(tokens, (self.width,))
