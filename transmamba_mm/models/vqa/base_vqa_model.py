"""Base class of models for visual question answering."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from transmamba_mm.checks import COUNT, MODE, check, checked
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import CallInputs, FeatureSource
from transmamba_mm.models.token_batch import IGNORED, TokenBatch
from transmamba_mm.models.towers import ModelView
from transmamba_mm.models.vqa.multimodal_embedder import MultimodalEmbedder
from transmamba_mm.models.vqa.prompt_template import PromptTemplate
from transmamba_mm.registry import MODELS, TOKENIZERS, build_in_scope
from transmamba_mm.transfer_checkpoint import take_student


class BaseVQAModel(BaseModel, ModelView):
    """A language model that reads patches of an image and a question, and writes the answer.

    Sequences of different lengths are padded on the left, which a recurrent model can be made to
    ignore, so that an answer does not depend on the other questions of its batch.

    Subclasses define how an image becomes embeddings (:meth:`encode_image`) and which language
    model reads them (:attr:`language_model`).

    Args:
        tokenizer: A fast one of transformers, or a config of ``TOKENIZERS``
            (``dict(type='AutoTokenizer', name_or_path=...)``).
        prompt, answer (str): See :class:`~transmamba_mm.models.vqa.prompt_template.PromptTemplate`.
        max_answer_tokens (int): Where generation stops at the latest.
        num_beams (int): Beams of the search; 1 is greedy.
        data_preprocessor (dict, optional): By default mmpretrain's ``MultiModalDataPreprocessor``.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Raises:
        UserError: No tokens or beams at all; what :class:`PromptTemplate` refuses.
    """

    token_batch_path = 'embedder'

    @checked(max_answer_tokens=COUNT, num_beams=COUNT)
    def __init__(
        self,
        tokenizer: Any,
        prompt: str = 'Question: {question} Answer:',
        answer: str = '{answer}',
        max_answer_tokens: int = 10,
        num_beams: int = 1,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        preprocessor = data_preprocessor or {'type': 'mmpretrain.MultiModalDataPreprocessor'}
        super().__init__(build_in_scope(MODELS, preprocessor), init_cfg)
        self._register_load_state_dict_pre_hook(take_student)
        tokenizer = build_in_scope(TOKENIZERS, tokenizer)
        self.embedder = MultimodalEmbedder(PromptTemplate(tokenizer, prompt, answer))
        self.max_answer_tokens = max_answer_tokens
        self.num_beams = num_beams

    @property
    @abstractmethod
    def language_model(self) -> Any:
        """The language model, called like a causal one of transformers."""

    @property
    @abstractmethod
    def lm_head_path(self) -> str:
        """Linear layer whose output is the logits."""

    @abstractmethod
    def encode_image(self, images: Tensor, questions: Sequence[str]) -> Tensor:
        """Patches (B, L, D) in the embedding space of the language model."""

    @property
    def prompt_template(self) -> PromptTemplate:
        """Tokenizer and templates."""
        return self.embedder.prompt_template

    @property
    def vocabulary(self) -> dict[str, int]:
        """Number of each token."""
        return self.prompt_template.tokenizer.get_vocab()

    def logits_source(self) -> FeatureSource:
        """Logits (N, vocabulary) of the N tokens of the answers."""
        return FeatureSource(self.lm_head_path, _pick_answers)

    def embedding_source(self) -> FeatureSource:
        """Hidden states that predict the N tokens of the answers, (N, D)."""
        return FeatureSource(self.lm_head_path, _pick_answer_states, from_inputs=True)

    def check_vocabulary(self) -> None:
        """UserError if the tokenizer's vocabulary is larger than the language model's."""
        words, known = (
            len(self.prompt_template.tokenizer),
            len(self.language_model.get_input_embeddings().weight),
        )
        if words > known:
            raise UserError(
                f'The tokenizer has {words} tokens and the language model {known}: use the '
                'tokenizer that belongs to the model.'
            )

    def forward(self, images: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """Train, answer, or give the logits.

        Args:
            images (Tensor): (B, C, H, W), or clips where the backbone takes them.
            data_samples (list[DataSample]): With ``question``, and for 'loss' and 'tensor'
                ``gt_answer`` (a text, or a list: the one with the greatest ``gt_answer_weight``, or
                the first, is learned). Or with ``conversation``: a list of ``{'from', 'value'}``
                as LLaVA has it; 'predict' answers its last question.
            mode (str): 'loss': a dict with the loss on the answers' tokens. 'predict': the samples,
                with ``pred_answer``. 'tensor': logits (B, T', vocabulary) of the last T' places,
                from the first that predicts a token of an answer.
        """
        check(type(self).__name__, 'mode', mode, MODE)
        samples = data_samples or []
        conversations = [turns_of(sample, mode == 'predict') for sample in samples]
        sequences = self.sequences(images, conversations)
        if mode == 'predict':
            return self._answer(sequences, samples)
        if mode == 'loss' and sequences.labels.eq(IGNORED).all():
            raise UserError(
                'No answer of this batch has a token to learn from: gt_answer is empty or missing '
                f'for the questions {[turns[0] for turns in conversations[:3]]}.'
            )
        logits = self.language_model(
            inputs_embeds=sequences.embeddings,
            attention_mask=sequences.mask,
            logits_to_keep=sequences.num_endings,
        ).logits
        if mode == 'tensor':
            return logits
        ahead = sequences.labels_ahead(logits.shape[1])
        predicts = ahead != IGNORED
        return {'loss': F.cross_entropy(logits[predicts].float(), ahead[predicts])}

    def sequences(self, images: Tensor, conversations: Sequence[Sequence[str]]) -> TokenBatch:
        """The language model's input for images and conversations (question, answer, ...)."""
        visual = self.encode_image(images, [turns[0] for turns in conversations])
        return self.embedder(visual, conversations, self.language_model.get_input_embeddings())

    def _answer(self, sequences: TokenBatch, samples: list) -> list:
        tokenizer = self.prompt_template.tokenizer
        tokens = self.language_model.generate(
            inputs_embeds=sequences.embeddings,
            attention_mask=sequences.mask,
            max_new_tokens=self.max_answer_tokens,
            num_beams=self.num_beams,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        for sample, answer in zip(samples, self.prompt_template.decode(tokens), strict=True):
            sample.pred_answer = answer
        return samples


def _pick_answers(logits: Tensor, tokens: TokenBatch) -> Tensor:
    return tokens.pick_answers(logits)


def _pick_answer_states(inputs: CallInputs, tokens: TokenBatch) -> Tensor:
    return tokens.pick_answers(inputs.hidden_states)


def turns_of(sample: Any, open_ended: bool) -> list[str]:
    """The turns of a data sample: question, answer, ...; without the last answer if open-ended."""
    conversation = sample.get('conversation')
    if conversation:
        turns = [turn['value'].replace('<image>', '').strip() for turn in conversation]
        return turns[:-1] if open_ended and len(turns) % 2 == 0 else turns
    question = sample.get('question') or ''
    return [question] if open_ended else [question, _answer_to_learn(sample)]


def _answer_to_learn(sample: Any) -> str:
    answers = sample.get('gt_answer')
    if isinstance(answers, str):
        return answers
    weights = sample.get('gt_answer_weight')
    if not answers:
        return ''
    return answers[0] if weights is None else answers[int(torch.as_tensor(weights).argmax())]


def mlp2x_gelu(in_dims: int, out_dims: int) -> nn.Sequential:
    """LLaVA's projector from patches to token embeddings (arXiv 2310.03744)."""
    return nn.Sequential(nn.Linear(in_dims, out_dims), nn.GELU(), nn.Linear(out_dims, out_dims))
