"""WSAB, the distillation of TransMamba: weight subcloning, adaptive, bidirectional."""

import math

import torch
from torch import Tensor, nn

from transmamba_mm.checks import FLAG, NOT_NEGATIVE, POSITIVE, SHARE, checked, one_of
from transmamba_mm.distillers.feature_distiller import FeatureDistiller
from transmamba_mm.distillers.similarity import (
    affinity_distance,
    embedding_distance,
    token_cosine,
)
from transmamba_mm.distillers.weighting import WEIGHTINGS, layer_weights
from transmamba_mm.errors import UserError
from transmamba_mm.models.necks import LatentProjector
from transmamba_mm.registry import DISTILLERS
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.features import FeatureKind, Features
from transmamba_mm.transfer.features.model_match import ModelMatch

REDUCTIONS = ('mean', 'sum')


@DISTILLERS.register_module()
class WSAB(FeatureDistiller):
    """Adaptive bidirectional distillation (TransMamba, arXiv 2502.15130).

    ::

        L = alpha * L_task + (1 - alpha) * (layer_weight * F(features)
                                            + direction_weight * sum_k F(direction k)
                                            + affinity_weight * mean_i mse(A_i, A_teacher))
            + logits_weight * T^2 * KL + embedding_weight * |s - t|^2 / |t|^2
            + frame_weight * mean_t |s_t - t_t|^2 / |t_t|^2
        F(.) = mean_i w_i * (1 - cos_i)

    where cos_i compares student layer i, through its own projector, with the teacher layer the
    layer map gives it. The paper's (v1) are the adaptive weight ('ratio') with its double sum over
    n layers (``reduction='sum'``), ``F = sum_i sum_j (cos_j / cos_i) * (1 - cos_i)``, the padded
    projector ('pad_mlp') and the total ``alpha * L_task + (1 - alpha) * (L_forward + L_backward)``.
    Ours are the whole-layer term, any number of directions instead of two, the terms of affinities,
    logits and final embeddings, the other weights and projectors, and the mean over i and j, which
    keeps the strength of a term independent of the depth; the double sum is n^2 times as strong.

    The paper's settings: ``dict(type='WSAB', layer_weight=0, logits_weight=0, weighting='ratio',
    reduction='sum', projector='pad_mlp')``.

    Direction k of the student is compared with the same teacher tokens as the whole layer. The
    paper permutes them to the order of the scan; both sides are permuted alike, so the number is
    the same (see :func:`~transmamba_mm.distillers.similarity.token_cosine`). Patch grids that
    differ are aligned by interpolating the teacher's patches to the student's grid, layer by layer
    where the student is hierarchical, in space and time for clips.

    Besides its losses, ``forward`` returns for the log the cosine and weight of every student layer
    (``layer03_cos``, ``layer03_weight``) and the mean cosine of every direction
    (``direction0_cos``).

    Args:
        match (ModelMatch): See :class:`BaseDistiller`.
        task_weight (float): The paper's alpha, in [0, 1].
        layer_weight (float): Factor of the whole-layer term; 0 switches it off.
        direction_weight (float): Factor of the terms per direction; 0 switches them off.
        affinity_weight (float): Factor of the term of token affinities A, the cosine similarities
            of all tokens of an image, which needs no projector (see
            :func:`~transmamba_mm.distillers.similarity.affinity_distance`); 0 switches it off.
        logits_weight (float): Factor of the logits term; 0 switches it off.
        embedding_weight (float): Factor of the term of the final embeddings: what a classifier's
            head reads, the vectors of a dual encoder; 0 switches it off. They have to be equally
            wide; a narrow classifier keeps its projector at inference, as
            ``neck=dict(type='LinearNeck', ...)`` (see the method ``lift``).
        frame_weight (float): Factor of the term of the embeddings of single frames, of retrievers
            of videos: the teacher's behind its temporal model, where the order of frames is; 0
            switches it off.
        temperature (float): T of the logits term.
        cls_token (bool): Let the cls token take part in the whole-layer term, as one more token,
            where both models have one.
        weighting (str): 'ratio' (paper), 'softmax' or 'uniform'; see
            :func:`~transmamba_mm.distillers.weighting.layer_weights`.
        tau (float): Temperature of the 'softmax' weighting.
        reduction (str): 'mean' over both sums, or 'sum' (paper), n^2 times as much.
        projector (str): ``kind`` of the :class:`LatentProjector`, one per matched layer and, for
            directions, one per matched layer and direction.
        feature_end (float, optional): See :class:`BaseDistiller`.
        layer_stride (int): See :class:`BaseDistiller`. Weights compare the layers of one step.
        mask_ratio (float): See :class:`BaseDistiller`.
        token_share (float): Share of the tokens that a step projects and compares, drawn for
            each layer and direction; affinities compare all.

    Raises:
        UserError: An unknown weighting, reduction or projector, a factor below 0, a temperature not
            above it, features to compare but no matched layers or a task_weight of 1, direction
            terms for a student without scan directions, embeddings of two widths.
    """

    @checked(
        layer_weight=NOT_NEGATIVE,
        direction_weight=NOT_NEGATIVE,
        affinity_weight=NOT_NEGATIVE,
        embedding_weight=NOT_NEGATIVE,
        frame_weight=NOT_NEGATIVE,
        cls_token=FLAG,
        weighting=one_of(*WEIGHTINGS),
        tau=POSITIVE,
        reduction=one_of(*REDUCTIONS),
        token_share=SHARE,
    )
    def __init__(
        self,
        match: ModelMatch,
        task_weight: float = 0.5,
        layer_weight: float = 1.0,
        direction_weight: float = 1.0,
        logits_weight: float = 0.5,
        temperature: float = 2.0,
        cls_token: bool = True,
        weighting: str = 'ratio',
        tau: float = 0.25,
        reduction: str = 'mean',
        projector: str = 'linear',
        feature_end: float | None = None,
        layer_stride: int = 1,
        affinity_weight: float = 0.0,
        embedding_weight: float = 0.0,
        frame_weight: float = 0.0,
        mask_ratio: float = 0.0,
        token_share: float = 1.0,
    ) -> None:
        used = {
            FeatureKind.LAYER_FEATURES: layer_weight > 0 or affinity_weight > 0,
            FeatureKind.DIRECTION_FEATURES: direction_weight > 0,
        }
        student_kinds = {kind for kind, is_used in used.items() if is_used}
        teacher_kinds = {FeatureKind.LAYER_FEATURES} if student_kinds else set()
        embeddings = {FeatureKind.EMBEDDINGS} if embedding_weight > 0 else set()
        embeddings |= {FeatureKind.FRAME_EMBEDDINGS} if frame_weight > 0 else set()
        super().__init__(
            match,
            task_weight,
            logits_weight,
            temperature,
            student_kinds | embeddings,
            teacher_kinds | embeddings,
            feature_end=feature_end,
            layer_stride=layer_stride,
            mask_ratio=mask_ratio,
        )
        self.layer_weight = layer_weight
        self.direction_weight = direction_weight
        self.affinity_weight = affinity_weight
        self.embedding_weight = embedding_weight
        self.frame_weight = frame_weight
        self.cls_token = cls_token
        self.weighting = weighting
        self.tau = tau
        self.reduction = reduction
        self.token_share = token_share
        self._check()

        layers = match.layers
        if layer_weight > 0:
            self.layer_projectors = nn.ModuleList(
                LatentProjector(layer.student_dims, layer.teacher_dims, projector)
                for layer in layers
            )
        if direction_weight > 0:
            self.direction_projectors = nn.ModuleList(
                nn.ModuleList(
                    LatentProjector(layer.student_dims, layer.teacher_dims, projector)
                    for layer in layers
                    if layer.num_directions > k
                )
                for k in range(max(layer.num_directions for layer in layers))
            )

    def _check(self) -> None:
        if self.feature_layers and self.task_weight == 1:
            raise UserError(
                'task_weight=1 of WSAB gives features the weight 1 - task_weight = 0: lower it, or '
                'set layer_weight=0 and direction_weight=0.'
            )
        whole = FeatureKind.EMBEDDINGS in self.student_kinds
        frames = FeatureKind.FRAME_EMBEDDINGS in self.student_kinds
        key = 'embedding_weight' if whole else 'frame_weight'
        for match in self.match.embeddings if whole or frames else ():
            if match.student_dims != match.teacher_dims and (whole or match.tower == 'vision'):
                raise UserError(
                    f"{key}={getattr(self, key)} of WSAB, but the student's final "
                    f'embedding of {match.tower} has {match.student_dims} channels and the '
                    f"teacher's {match.teacher_dims}: give a classifier neck=dict(type="
                    f"'LinearNeck', in_channels={match.student_dims}, "
                    f'out_channels={match.teacher_dims}, ...), a dual encoder '
                    f'embed_dims={match.teacher_dims}, or set {key}=0.'
                )
        if self.direction_weight > 0 and not all(
            layer.num_directions for layer in self.match.layers
        ):
            raise UserError(
                'WSAB compares scan directions, but the student backbone has none: set '
                'direction_weight=0.'
            )

    def compare_features(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Compare layers and directions; see the class for the keys."""
        outputs: dict[str, Tensor] = {}
        compared = student.layer_features or student.direction_features
        targets = [
            to_grid(y.patches, y.grid, x.grid)
            for x, y in zip(compared, teacher.layer_features, strict=True)
        ]  # (B, L, Dt) each, on the student's grid
        if self.layer_weight > 0:
            outputs |= self._compare_layers(student, teacher, targets)
        if self.direction_weight > 0:
            outputs |= self._compare_directions(student, targets)
        if self.affinity_weight > 0:
            outputs |= self._compare_affinities(student, targets)
        return outputs

    def compare_outputs(self, student: Features, teacher: Features) -> dict[str, Tensor]:
        """Compare logits and final embeddings."""
        outputs = super().compare_outputs(student, teacher)
        for name, ours in student.embeddings.items():
            distance = embedding_distance(ours, teacher.embeddings[name])
            outputs[f'{name}_embedding_loss'] = self.embedding_weight * distance
        if student.frame_embeddings is not None:
            frames = student.frame_embeddings  # (B, T, D)
            grids = ((seen.shape[1], 1) for seen in (teacher.frame_embeddings, frames))
            target = to_grid(teacher.frame_embeddings, *grids)
            distance = embedding_distance(frames.flatten(0, 1), target.flatten(0, 1))
            outputs['frame_loss'] = self.frame_weight * distance
        return outputs

    def _compare_layers(
        self, student: Features, teacher: Features, targets: list[Tensor]
    ) -> dict[str, Tensor]:
        cosines = []
        for ours, theirs, target, i in zip(
            student.layer_features,
            teacher.layer_features,
            targets,
            self.compared_layers,
            strict=True,
        ):
            tokens = ours.patches
            if self.cls_token and ours.cls is not None and theirs.cls is not None:
                tokens = torch.cat([ours.cls.unsqueeze(1), tokens], dim=1)
                target = torch.cat([theirs.cls.unsqueeze(1), target], dim=1)
            cosines.append(self._cosine(self.layer_projectors[i], tokens, target))
        loss, weights = self._weigh(cosines, len(self.match.layers))
        outputs = {'layer_loss': self.layer_weight * loss}
        for layer, cosine, weight in zip(self.compared_matches, cosines, weights, strict=True):
            outputs[f'layer{layer.student:02d}_cos'] = cosine.detach()
            outputs[f'layer{layer.student:02d}_weight'] = weight
        return outputs

    def _compare_directions(self, student: Features, targets: list[Tensor]) -> dict[str, Tensor]:
        outputs = {}
        for k, projectors in enumerate(self.direction_projectors):
            having = [i for i, layer in enumerate(self.match.layers) if layer.num_directions > k]
            project = dict(zip(having, projectors, strict=True))
            cosines = [
                self._cosine(project[i], ours.patches[:, k], target)
                for ours, target, i in zip(
                    student.direction_features, targets, self.compared_layers, strict=True
                )
                if i in project
            ]
            loss, _ = self._weigh(cosines, len(having))
            outputs[f'direction{k}_loss'] = self.direction_weight * loss
            outputs[f'direction{k}_cos'] = torch.stack(cosines).mean().detach()
        return outputs

    def _cosine(self, projector: LatentProjector, tokens: Tensor, target: Tensor) -> Tensor:
        """The ``cos_i`` of (B, L, Ds) and (B, L, Dt): a scalar."""
        if self.token_share < 1:
            num_tokens = tokens.shape[1]
            drawn = torch.randperm(num_tokens, device=tokens.device)
            drawn = drawn[: math.ceil(self.token_share * num_tokens)]
            tokens, target = tokens[:, drawn], target[:, drawn]
        return token_cosine(*projector(tokens, target))

    def _compare_affinities(self, student: Features, targets: list[Tensor]) -> dict[str, Tensor]:
        distances = [
            affinity_distance(ours.patches, target)
            for ours, target in zip(student.layer_features, targets, strict=True)
        ]
        share = self._share(len(distances), len(self.match.layers))
        loss = (1 - self.task_weight) * share * torch.stack(distances).mean()
        return {'affinity_loss': self.affinity_weight * loss}

    def _share(self, num_compared: int, num_layers: int) -> float:
        """Factor of a mean over the layers of this step.

        With it every layer counts alike over ``layer_stride`` steps, also where some of these have
        one layer more than others.
        """
        return num_compared * self.layer_stride / num_layers

    def _weigh(self, found: list[Tensor], num_layers: int) -> tuple[Tensor, Tensor]:
        """Loss of one term, (1 - alpha) * F, and the weights (n,) it used.

        Args:
            found (list[Tensor]): Cosines of the n layers that this step compares.
            num_layers (int): Layers that have the term, over all steps.
        """
        cosines = torch.stack(found)
        weights = layer_weights(cosines, self.weighting, self.tau)
        loss = (weights * (1 - cosines)).mean()
        if self.reduction == 'sum':
            weights, loss = num_layers * weights, num_layers**2 * loss
        loss = self._share(len(cosines), num_layers) * loss
        return (1 - self.task_weight) * loss, weights
