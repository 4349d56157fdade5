"""CAB: a bridge from the keys and queries of attention to B and C of scans."""

import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, POSITIVE, checked
from transmamba_mm.distillers.feature_distiller import FeatureDistiller
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DISTILLERS
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch


@DISTILLERS.register_module()
class CAB(FeatureDistiller):
    """Cross-architecture distillation via attention bridge (Wang et al., arXiv 2510.19266).

    ::

        L = task_weight * L_task + logits_weight * T^2 * KL + bridge_weight * L_bridge
        L_bridge = mean_i sum_k ( mse(f_ik(B_ik), softmax_tokens(K_i))
                                + mse(g_ik(C_ik), softmax_channels(Q_i)) )

    where B_ik and C_ik are those of scan direction k of student layer i, K_i and Q_i the keys and
    queries of its teacher layer, heads one after another, and the bridges f and g are MLPs with one
    hidden layer. A scan whose state does not decay is linear attention with B as keys and C as
    queries; hence the pairs.

    The paper's text was not at hand: loss, kernels, sizes and weights are those of its code for Vim
    (github.com/wph6/CAB), which trains without labels. Two differences: patch tokens alone are
    compared, in canonical order, where the code moves the teacher's cls token to the middle and
    reverses tokens for the backward scan, and ``feature_end`` ends the bridge by decay, where
    the paper's stops early.

    Args:
        match (ModelMatch): See :class:`BaseDistiller`.
        task_weight (float): Factor of the student's own losses.
        logits_weight (float): Factor of the soft labels.
        temperature (float): T of the soft labels.
        bridge_weight (float): Factor of the bridge.
        bridge_dims (int): Width of the hidden layer of each bridge.
        feature_end (float, optional): See :class:`BaseDistiller`.

    Raises:
        UserError: A student or teacher without keys and queries, a factor below 0, a temperature
            not above it.
    """

    @checked(bridge_weight=POSITIVE, bridge_dims=COUNT)
    def __init__(
        self,
        match: ModelMatch,
        task_weight: float = 0.0,
        logits_weight: float = 1.0,
        temperature: float = 1.0,
        bridge_weight: float = 3.0,
        bridge_dims: int = 128,
        feature_end: float | None = None,
    ) -> None:
        super().__init__(
            match,
            task_weight,
            logits_weight,
            temperature,
            {FeatureKind.KEYS_QUERIES},
            feature_end=feature_end,
        )
        self.bridge_weight = bridge_weight
        for layer in match.layers:
            if not (layer.num_directions and layer.student_key_dims and layer.teacher_key_dims):
                raise UserError(
                    f'CAB compares B and C of a scan with keys and queries of attention, but '
                    f'student layer {layer.student} or teacher layer {layer.teacher} has none: use '
                    'a Vim or VideoMamba, and a ViT, DeiT or CLIP as teacher, or another distiller.'
                )

        def bridges() -> nn.ModuleList:
            return nn.ModuleList(
                nn.ModuleList(
                    nn.Sequential(
                        nn.Linear(layer.student_key_dims, bridge_dims),
                        nn.SiLU(),
                        nn.Linear(bridge_dims, layer.teacher_key_dims),
                    )
                    for _ in range(layer.num_directions)
                )
                for layer in match.layers
            )

        self.key_bridges, self.query_bridges = bridges(), bridges()

    def compare_features(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """``bridge_loss``."""
        losses = []
        for i, ours, theirs in zip(
            self.compared_layers, student.keys_queries, teacher.keys_queries, strict=True
        ):
            keys, queries = ours.patches.float().chunk(2, dim=-1)  # (B, K, L, N) each
            target = to_grid(theirs.patches, theirs.grid, ours.grid).float()
            key_target, query_target = target.chunk(2, dim=-1)  # (B, L, E) each
            losses += [
                F.mse_loss(bridge(keys[:, k]), key_target.softmax(dim=1))
                for k, bridge in enumerate(self.key_bridges[i])
            ]
            losses += [
                F.mse_loss(bridge(queries[:, k]), query_target.softmax(dim=2))
                for k, bridge in enumerate(self.query_bridges[i])
            ]
        return {'bridge_loss': self.bridge_weight * sum(losses) / len(self.compared_layers)}
