"""Visual question answering: a vision backbone, cross-Mamba, a Mamba language model."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, checked
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.towers import TEXT, Tower
from transmamba_mm.models.vqa.base_vqa_model import BaseVQAModel, mlp2x_gelu
from transmamba_mm.registry import MODELS, build_in_scope


@MODELS.register_module()
class MambaVQA(BaseVQAModel):
    """Answer questions about images, in time linear in patches and words.

    The patches go through ``cross_mamba`` with the question, then through a projector into the
    space of words; the language model reads them, the prompt, and writes the answer.

    Args:
        vision (dict | nn.Module, optional): A backbone with ``out_type='featmap'``. None: the
            question is the only input, a baseline for guessing.
        language (dict | nn.Module): A :class:`~transmamba_mm.models.hf.MambaLM`, or a language
            model in a :class:`~transmamba_mm.models.hf.CausalAttentionSwap`.
        tokenizer: See :class:`BaseVQAModel`; by default the one beside the language model's
            checkpoint.
        cross_mamba (dict, optional): Of :class:`~transmamba_mm.models.necks.CrossMamba`; the widths
            are filled in. None: the question meets the image in the language model alone.
        image_grid (int, optional): Side g of a grid to which patches are averaged behind
            ``cross_mamba``: the language model reads g * g tokens of an image. By default it reads
            every patch.
        **kwargs: See :class:`BaseVQAModel`.

    Raises:
        UserError: A backbone that hands out no feature map, a prompt without a question, a
            tokenizer that cannot end an answer or has a larger vocabulary than the language model,
            an ``image_grid`` finer than the backbone's.
    """

    @checked(image_grid=COUNT)
    def __init__(
        self,
        language: dict | nn.Module,
        vision: dict | nn.Module | None = None,
        tokenizer: Any = None,
        cross_mamba: dict | None = None,
        image_grid: int | None = None,
        **kwargs,
    ) -> None:
        language = build_in_scope(MODELS, language)
        super().__init__(language.tokenizer if tokenizer is None else tokenizer, **kwargs)
        self.language = language
        self.vision = build_in_scope(MODELS, vision)
        self.check_vocabulary()
        self.image_grid = image_grid
        self.cross_mamba = self.projector = None
        if self.vision is None:
            return
        out_type = getattr(self.vision, 'out_type', 'featmap')
        if out_type != 'featmap':
            raise UserError(
                f'The vision backbone gives out_type={out_type!r}, but questions are asked of its '
                "patches: set out_type='featmap'."
            )
        visual_dims = layout_of(self.vision).layer_dims()[-1]
        if cross_mamba is not None:
            widths = {'visual_dims': visual_dims, 'text_dims': language.embed_dims}
            self.cross_mamba = build_in_scope(MODELS, cross_mamba, **widths)
        self.projector = mlp2x_gelu(visual_dims, language.embed_dims)

    @property
    def language_model(self) -> Any:
        """The Mamba language model."""
        return self.language

    @property
    def lm_head_path(self) -> str:
        """Linear layer whose output is the logits."""
        return f'language.{self.language.lm_head_path}'

    def towers(self) -> dict[str, Tower]:
        """The vision backbone, if there is one, and the language model."""
        language = Tower(
            'language',
            self.language,
            TEXT,
            embeddings=self.embedding_source(),
            embedding_dims=self.language.embed_dims,
        )
        if self.vision is None:
            return {'language': language}
        return {'vision': Tower('vision', self.vision), 'language': language}

    def encode_image(self, images: Tensor, questions: Sequence[str]) -> Tensor:
        """Patches (B, L, D) in the space of words, aware of the questions."""
        if self.vision is None:
            return images.new_zeros(len(images), 0, self.language.embed_dims)
        features = self.vision(images)[-1]  # (B, D, H, W)
        patches = features.flatten(2).transpose(1, 2)
        if self.cross_mamba is not None:
            tokens, mask = self.prompt_template.questions(questions, images.device)
            patches = self.cross_mamba(patches, self.language.get_input_embeddings()(tokens), mask)
        if self.image_grid is not None:
            patches = self._pool(patches, features.shape[2:])
        return self.projector(patches)

    def _pool(self, patches: Tensor, grid: Sequence[int]) -> Tensor:
        """Patches (B, H * W, D) averaged to (B, g * g, D)."""
        if self.image_grid > min(grid):
            raise UserError(
                f'image_grid={self.image_grid} of MambaVQA is finer than the {grid[0]}x{grid[1]} '
                'patches of the vision backbone: choose less, or leave it out.'
            )
        image = patches.transpose(1, 2).unflatten(2, tuple(grid))  # (B, D, H, W)
        return F.adaptive_avg_pool2d(image, self.image_grid).flatten(2).transpose(1, 2)
