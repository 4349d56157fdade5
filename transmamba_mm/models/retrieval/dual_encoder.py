"""Base class of models that embed texts and videos in one space."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmengine import dist
from mmengine.model import BaseModel
from torch import Tensor, nn

from transmamba_mm.checks import MODE, check
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import CallInputs, FeatureSource
from transmamba_mm.models.retrieval.caption_tokenizer import (
    Captions,
    CaptionTokenizer,
    encode_tokens,
    max_positions,
)
from transmamba_mm.models.retrieval.contrastive import (
    MAX_LOG_SCALE,
    Similarity,
    all_gather_with_grad,
    contrastive_loss,
    l2_normalize,
    positive_mask,
    sample_ids,
)
from transmamba_mm.models.retrieval.reranker import CrossReranker
from transmamba_mm.models.towers import ModelView
from transmamba_mm.registry import MODELS, TOKENIZERS, build_in_scope
from transmamba_mm.transfer_checkpoint import take_student

PAIRS = 64  # that a re-ranker scores at a time


class DualEncoder(BaseModel, ModelView):
    """Texts and videos as unit vectors of one space, in which those that belong together are near.

    Subclasses bring a :attr:`text_encoder`, projections, an encoder of clips, and perhaps a
    :attr:`reranker`.

    Args:
        tokenizer: A fast one of transformers, or a config of ``TOKENIZERS``
            (``dict(type='AutoTokenizer', name_or_path=...)``).
        max_tokens (int, optional): Where captions are cut; by default, and at most, at the
            positions of the text tower.
        data_preprocessor (dict, optional): By default a ``VideoDataPreprocessor`` that does not
            normalize.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.
    """

    token_batch_path = 'caption_tokenizer'

    def __init__(
        self,
        tokenizer: Any,
        max_tokens: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        preprocessor = data_preprocessor or {'type': 'VideoDataPreprocessor'}
        super().__init__(build_in_scope(MODELS, preprocessor), init_cfg)
        self._register_load_state_dict_pre_hook(take_student)
        tokenizer = build_in_scope(TOKENIZERS, tokenizer)
        self.caption_tokenizer = CaptionTokenizer(tokenizer, max_tokens)
        self.similarity = Similarity()
        self.reranker: CrossReranker | None = None

    @property
    @abstractmethod
    def text_encoder(self) -> Any:
        """The text tower, called like a model of transformers."""

    @property
    @abstractmethod
    def log_scale(self) -> nn.Parameter:
        """Logarithm of what cosines are multiplied with."""

    @abstractmethod
    def encode_frames(self, clips: Tensor) -> Tensor:
        """Encode clips (B, C, T, H, W) with the vision tower."""

    @abstractmethod
    def pool_video(self, seen: Tensor, frame_mask: Tensor | None) -> Tensor:
        """Pool encoded frames to embeddings (B, D), of any length."""

    def logits_source(self) -> FeatureSource:
        """Similarities (2 B, B) of texts to videos, then of videos to texts.

        On several processes they are those of each process's own B texts and videos.
        """
        return FeatureSource('similarity', _both_ways)

    def embedding_source(self, of_text: bool) -> FeatureSource:
        """Unit vectors (B, D) of each process's own texts, or of its videos."""
        read = _text_embeddings if of_text else _video_embeddings
        return FeatureSource('similarity', read, from_inputs=True)

    def patches(self, seen: Tensor, frame_mask: Tensor | None) -> list[Tensor]:
        """Tokens (L, E) of each clip for the :attr:`reranker`, from encoded frames."""
        raise NotImplementedError  # only a model that can have a re-ranker is asked

    @abstractmethod
    def pool_text(self, tokens: Tensor) -> Tensor:
        """Pool the text tower's tokens (B, T, E) to embeddings (B, D), of any length."""

    def check_words(self) -> None:
        """Cut captions where the text tower's positions end; UserError for a smaller vocabulary."""
        words = len(self.caption_tokenizer.tokenizer)
        known = len(self.text_encoder.get_input_embeddings().weight)
        if words > known:
            raise UserError(
                f'The tokenizer has {words} tokens and the text tower {known}: use the tokenizer '
                'that belongs to the model.'
            )
        limits = [self.caption_tokenizer.max_tokens, max_positions(self.text_encoder)]
        self.caption_tokenizer.max_tokens = min((n for n in limits if n is not None), default=None)

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """Train, embed, or compare.

        Args:
            inputs (Tensor): Clips (B, C, T, H, W), or images (B, C, H, W).
            data_samples (list[DataSample]): With ``text``, a caption (or, but for 'loss', a list of
                them), perhaps ``frame_mask`` (T,), False for frames that only fill up. For 'loss'
                those with equal text, ``caption_id`` or ``video_id`` are positives.
            mode (str): 'loss': a dict with the contrastive loss, over the batches of all processes,
                and a re-ranker's. 'predict': the samples, with ``video_embedding`` (D,) and
                ``text_embeddings`` (n_texts, D), normalized, and for a re-ranker ``patches``
                (L, E), in half precision on the CPU. 'tensor': scaled similarities (n_texts, B) of
                all texts.

        Raises:
            UserError: An unknown mode; in 'loss' a sample without a caption or with several.
        """
        check(type(self).__name__, 'mode', mode, MODE)
        samples = data_samples or []
        captions = [_captions(sample) for sample in samples]
        if mode == 'loss':
            return self.loss(inputs, samples, captions)
        frame_mask = _frame_mask(samples)
        seen = self.encode_frames(_as_clips(inputs))
        videos = l2_normalize(self.pool_video(seen, frame_mask))
        texts = self.encode_text([text for some in captions for text in some])
        if mode == 'tensor':
            return self.similarity(texts, videos, self.log_scale)
        counts = [len(some) for some in captions]
        for sample, video, own in zip(samples, videos, texts.split(counts), strict=True):
            sample.video_embedding = video
            sample.text_embeddings = own
        if self.reranker is not None:
            for sample, patches in zip(samples, self.patches(seen, frame_mask), strict=True):
                sample.patches = patches.half().cpu()
        return samples

    def loss(self, inputs: Tensor, samples: list, captions: Sequence[list[str]]) -> dict:
        """Contrastive and matching loss of B clips and their captions, one each."""
        if wrong := [some for some in captions if len(some) != 1]:
            raise UserError(
                f'Training takes one caption with each clip; a sample has {len(wrong[0])}. Set '
                'text in the pipeline, and let the data set list each caption on its own.'
            )
        if self.log_scale.requires_grad:
            with torch.no_grad():
                self.log_scale.clamp_(max=MAX_LOG_SCALE)
        texts = [some[0] for some in captions]
        frame_mask = _frame_mask(samples)
        tokens, words = self.encode_tokens(texts)
        seen = self.encode_frames(_as_clips(inputs))
        ours = l2_normalize(self.pool_text(words)), l2_normalize(self.pool_video(seen, frame_mask))
        own = similarity = self.similarity(*ours, self.log_scale)
        if dist.get_world_size() > 1:  # not as a call: a transfer records calls
            similarity = self.similarity.forward(*map(all_gather_with_grad, ours), self.log_scale)
        ids = sample_ids(samples, texts, inputs.device)
        losses = {'loss': contrastive_loss(similarity, positive_mask(all_gather_with_grad(ids)))}
        if self.reranker is not None:
            patches = self.patches(seen, frame_mask)
            losses['loss_match'] = self.reranker.loss(
                patches, words, tokens.mask, own, positive_mask(ids)
            )
        return losses

    def encode_video(self, clips: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """Unit vectors (B, D) of clips (B, C, T, H, W) or images (B, C, H, W).

        Args:
            clips (Tensor): Normalized as :attr:`data_preprocessor` does.
            frame_mask (Tensor, optional): (B, T), False for frames that only fill up.
        """
        return l2_normalize(self.pool_video(self.encode_frames(_as_clips(clips)), frame_mask))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (n, D) of texts; an empty one is the tokenizer's special tokens alone."""
        _, tokens = self.encode_tokens(texts or [''])
        return l2_normalize(self.pool_text(tokens))[: len(texts)]

    @torch.no_grad()
    def match(self, patches: Sequence[Tensor], texts: Sequence[str]) -> Tensor:
        """Scores (n,) of n pairs by the :attr:`reranker`, on the CPU.

        Args:
            patches (Sequence[Tensor]): Of each video, as 'predict' hands them out.
            texts (Sequence[str]): One for each.
        """
        scores = [torch.empty(0)]
        for start in range(0, len(texts), PAIRS):
            pairs = slice(start, start + PAIRS)
            own = list(dict.fromkeys(texts[pairs]))
            tokens, words = self.encode_tokens(own)
            rows = torch.tensor([own.index(text) for text in texts[pairs]], device=words.device)
            videos = [video.to(words) for video in patches[pairs]]
            scores.append(self.reranker(videos, words[rows], tokens.mask[rows]).cpu())
        return torch.cat(scores)

    def encode_tokens(self, texts: Sequence[str]) -> tuple[Captions, Tensor]:
        """Tokens of texts, and the text tower's output for them (n, T, E)."""
        captions = self.caption_tokenizer(texts, self.text_encoder.get_input_embeddings())
        return captions, encode_tokens(self.text_encoder, captions)


def _both_ways(similarity: Tensor, tokens: Captions) -> Tensor:
    return torch.cat([similarity, similarity.T])


def _text_embeddings(inputs: CallInputs, tokens: Captions) -> Tensor:
    return inputs.args[0]


def _video_embeddings(inputs: CallInputs, tokens: Captions) -> Tensor:
    return inputs.args[1]


def _as_clips(inputs: Tensor) -> Tensor:
    clips = inputs.unsqueeze(2) if inputs.dim() == 4 else inputs
    if clips.dim() != 5:
        raise UserError(
            'Retrieval takes clips (B, C, T, H, W) or images (B, C, H, W), not inputs of shape '
            f'{tuple(inputs.shape)}.'
        )
    return clips


def _captions(sample: Any) -> list[str]:
    text = sample.get('text')
    if text is None:
        return []
    return [text] if isinstance(text, str) else list(text)


def _frame_mask(samples: list) -> Tensor | None:
    masks = [sample.get('frame_mask') for sample in samples]
    if not masks or any(mask is None for mask in masks):
        return None
    return torch.stack([torch.as_tensor(mask, dtype=torch.bool) for mask in masks])
