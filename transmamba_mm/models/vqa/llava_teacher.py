"""LLaVA as a teacher for visual question answering."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.vision_encoder import load_vision_encoder
from transmamba_mm.models.towers import TEXT, Tower
from transmamba_mm.models.vqa.base_vqa_model import BaseVQAModel
from transmamba_mm.registry import MODELS

LLAVA = {'noun': 'a LLaVA', 'example': 'llava-hf/llava-1.5-7b-hf'}


@MODELS.register_module()
class LlavaTeacher(BaseVQAModel):
    """Transformers' ``LlavaForConditionalGeneration`` (arXiv 2304.08485) as a VQA model.

    Any vision-language model of transformers will do whose ``model`` has a ``vision_tower``, a
    ``language_model`` and ``get_image_features``, and that takes images of one size.

    Args:
        config (dict, optional): Of a new model: the keys of ``LlavaConfig``, with ``vision_config``
            and ``text_config``.
        checkpoint (str | Path, optional): Instead, a folder of ``save_pretrained`` or a name on the
            hub (``llava-hf/llava-1.5-7b-hf``); read without running code.
        tokenizer: See :class:`BaseVQAModel`; by default the checkpoint's.
        dtype (str | torch.dtype, optional): By default float32 for a new model, the checkpoint's
            own otherwise.
        vision_checkpoint (str, optional): Of a new model: a work_dir or file of a classifier whose
            backbone is :class:`~transmamba_mm.models.backbones.ClipVision`. Its weights are
            loaded by :meth:`init_weights` and never trained, as LLaVA keeps CLIP's (arXiv
            2304.08485).
        **kwargs: See :class:`BaseVQAModel`. LLaVA 1.5 was trained with
            ``prompt='USER: {image}\\n{question} ASSISTANT:'``.

    Raises:
        UserError: Both or none of ``config`` and ``checkpoint``; unknown keys of ``config``; a
            checkpoint that is missing, incomplete or of an architecture without these parts; a
            tokenizer that does not fit.
    """

    def __init__(
        self,
        config: dict | None = None,
        checkpoint: str | Path | None = None,
        tokenizer: Any = None,
        dtype: str | torch.dtype | None = None,
        vision_checkpoint: str | Path | None = None,
        **kwargs,
    ) -> None:
        from transformers import AutoModelForImageTextToText
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as ANSWERERS,
        )
        from transformers.models.llava import LlavaForConditionalGeneration

        from transmamba_mm.models.hf.model_source import ModelSource
        from transmamba_mm.models.hf.pretrained import load_tokenizer

        kinds = {
            'llava': LlavaForConditionalGeneration,
            **{kind: AutoModelForImageTextToText for kind in ANSWERERS if kind != 'llava'},
        }
        source = ModelSource('LlavaTeacher', kinds, config, checkpoint, **LLAVA)
        super().__init__(load_tokenizer(checkpoint) if tokenizer is None else tokenizer, **kwargs)
        self.model = source.build(dtype)
        if checkpoint is not None:
            self.is_init = True  # or init_weights would reinitialize it
        core = getattr(self.model, 'model', None)
        parts = ('vision_tower', 'language_model', 'get_image_features')
        if missing := [name for name in parts if not hasattr(core, name)]:
            raise UserError(
                f'{type(self.model).__name__} cannot be a LlavaTeacher: its model has no '
                f'{", ".join(missing)}. Choose {LLAVA["noun"]} such as {LLAVA["example"]}.'
            )
        _check_feature_layers(self.model.config)
        self.vision_checkpoint = vision_checkpoint
        if vision_checkpoint is not None:
            core.vision_tower.requires_grad_(False)
        self.check_vocabulary()

    def init_weights(self) -> None:
        """Initialize a new model; its vision encoder comes from ``vision_checkpoint``.

        Raises:
            UserError: A checkpoint that is missing, or of another vision encoder.
        """
        super().init_weights()
        if self.vision_checkpoint is not None:
            load_vision_encoder(self.model.model.vision_tower, self.vision_checkpoint)

    @property
    def language_model(self) -> Any:
        """The whole model: given embeddings, it only reads."""
        return self.model

    @property
    def lm_head_path(self) -> str:
        """Linear layer whose output is the logits."""
        return 'model.lm_head'

    def towers(self) -> dict[str, Tower]:
        """Vision encoder and language model."""
        core = self.model.model
        return {
            'vision': Tower('model.model.vision_tower', core.vision_tower),
            'language': Tower(
                'model.model.language_model',
                core.language_model,
                TEXT,
                heads={'lm_head': 'model.lm_head'},
                embeddings=self.embedding_source(),
                embedding_dims=core.language_model.config.hidden_size,
            ),
        }

    def encode_image(self, images: Tensor, questions: Sequence[str]) -> Tensor:
        """Patches (B, L, D) in the space of words; the questions do not matter to them.

        Raises:
            UserError: Images of another size than the vision encoder's.
        """
        size = getattr(getattr(self.model.config, 'vision_config', None), 'image_size', None)
        if isinstance(size, int) and tuple(images.shape[-2:]) != (size, size):
            height, width = images.shape[-2:]
            raise UserError(
                f'The vision encoder of LlavaTeacher takes images of {size}x{size} pixels, not '
                f'{height}x{width}: resize them in the pipeline, set img_size={size} of the '
                'teacher of a transfer, or image_size of vision_config.'
            )
        output = self.model.model.get_image_features(
            pixel_values=images.to(self.model.dtype), return_dict=True
        )
        return torch.stack(list(output.pooler_output))


def _check_feature_layers(config: Any) -> None:
    """UserError for layers that the vision encoder does not have; an image would be the first try.

    Its hidden states are the embeddings and the output of each layer.
    """
    depth = getattr(getattr(config, 'vision_config', None), 'num_hidden_layers', None)
    chosen = getattr(config, 'vision_feature_layer', None)
    if depth is None or chosen is None:
        return
    for layer in chosen if isinstance(chosen, list | tuple) else [chosen]:
        if not isinstance(layer, int) or not -depth - 1 <= layer <= depth:
            raise UserError(
                f'vision_feature_layer={chosen} of LlavaTeacher: its vision encoder has {depth} '
                f'layers, so a layer is from {-depth - 1} to {depth}.'
            )
