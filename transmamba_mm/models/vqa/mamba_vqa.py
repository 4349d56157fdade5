"""Visual question answering: a vision backbone, cross-Mamba, a Mamba language model."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmpretrain.registry import TOKENIZER
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from transmamba_mm.errors import UserError
from transmamba_mm.models.teachers import token_layout
from transmamba_mm.models.vqa.prompting import IGNORED, Prompting
from transmamba_mm.registry import MODELS


@MODELS.register_module()
class MambaVQA(BaseModel):
    """Answer questions about images, in time linear in patches and words.

    The patches go through ``cross_mamba`` with the question, then through a projector into the
    space of words; the language model reads them, the prompt, and writes the answer. Sequences of
    different lengths are padded on the left, which a recurrent model can be told to ignore, so that
    an answer does not depend on the other questions of its batch.

    Args:
        vision (dict | nn.Module): A backbone with ``out_type='featmap'``.
        language (dict | nn.Module): A :class:`~transmamba_mm.models.language.MambaLM`.
        tokenizer: Of transformers, or a config of mmpretrain's ``TOKENIZER``
            (``dict(type='AutoTokenizer', name_or_path=...)``).
        cross_mamba (dict, optional): Of :class:`~transmamba_mm.models.necks.CrossMamba`; the widths
            are filled in. None: the question meets the image in the language model alone.
        prompt (str): What is read behind the image; ``{question}`` stands for the question.
        max_answer_tokens (int): Where generation stops at the latest.
        num_beams (int): Beams of the search; 1 is greedy.
        data_preprocessor (dict, optional): By default mmpretrain's ``MultiModalDataPreprocessor``.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Raises:
        UserError: A backbone that hands out no feature map, a prompt without a question, a
            tokenizer that cannot end an answer or knows more words than the language model.
    """

    def __init__(
        self,
        vision: dict | nn.Module,
        language: dict | nn.Module,
        tokenizer: Any,
        cross_mamba: dict | None = None,
        prompt: str = 'Question: {question} Answer:',
        max_answer_tokens: int = 10,
        num_beams: int = 1,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        preprocessor = data_preprocessor or {'type': 'mmpretrain.MultiModalDataPreprocessor'}
        super().__init__(MODELS.build(preprocessor), init_cfg)
        self.vision = MODELS.build(vision) if isinstance(vision, dict) else vision
        self.language = MODELS.build(language) if isinstance(language, dict) else language
        if isinstance(tokenizer, dict):
            tokenizer = TOKENIZER.build(tokenizer)
        self.prompting = Prompting(tokenizer, prompt)
        self.max_answer_tokens = max_answer_tokens
        self.num_beams = num_beams
        self._check(tokenizer)
        visual_dims, text_dims = (
            token_layout(self.vision).layer_dims()[-1],
            self.language.embed_dims,
        )
        self.cross_mamba = None
        if cross_mamba is not None:
            widths = {'visual_dims': visual_dims, 'text_dims': text_dims}
            self.cross_mamba = MODELS.build({**widths, **cross_mamba})
        # LLaVA's: two layers, https://arxiv.org/abs/2310.03744.
        self.projector = nn.Sequential(
            nn.Linear(visual_dims, text_dims), nn.GELU(), nn.Linear(text_dims, text_dims)
        )

    def _check(self, tokenizer: Any) -> None:
        out_type = getattr(self.vision, 'out_type', 'featmap')
        if out_type != 'featmap':
            raise UserError(
                f'The vision backbone gives out_type={out_type!r}, but questions are asked of its '
                "patches: set out_type='featmap'."
            )
        vocabulary = self.language.config.vocab_size
        if len(tokenizer) > vocabulary:
            raise UserError(
                f'The tokenizer has {len(tokenizer)} tokens and the language model {vocabulary}: '
                'use the tokenizer that belongs to the model.'
            )

    def forward(self, images: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """Train, answer, or give the logits.

        Args:
            images (Tensor): (B, C, H, W), or clips where the backbone takes them.
            data_samples (list[DataSample]): With ``question``, and for 'loss' and 'tensor'
                ``gt_answer`` (a text, or a list whose first entry counts).
            mode (str): 'loss': a dict with the loss on the answers' tokens. 'predict': the samples,
                with ``pred_answer``. 'tensor': logits (B, T, vocabulary) of the padded sequences.
        """
        if mode not in ('loss', 'predict', 'tensor'):
            raise UserError(f'mode={mode!r} is unknown; choose one of loss, predict, tensor.')
        samples = data_samples or []
        questions = [sample.get('question') or '' for sample in samples]
        if mode == 'predict':
            return self.predict(images, samples, questions)
        answers = [_first(sample.get('gt_answer')) for sample in samples]
        embeddings, mask, labels = self.sequences(images, questions, answers)
        if mode == 'tensor':
            return self.language(inputs_embeds=embeddings, attention_mask=mask).logits
        if labels.eq(IGNORED).all():
            raise UserError(
                'No answer of this batch has a token to learn from: gt_answer is empty or missing '
                f'for the questions {questions[:3]}.'
            )
        output = self.language(inputs_embeds=embeddings, attention_mask=mask, labels=labels)
        return {'loss': output.loss}

    def predict(self, images: Tensor, samples: list, questions: Sequence[str]) -> list:
        """Generate an answer for each question; the samples get it as ``pred_answer``."""
        embeddings, mask, _ = self.sequences(images, questions)
        tokenizer = self.prompting.tokenizer
        tokens = self.language.generate(
            inputs_embeds=embeddings,
            attention_mask=mask,
            max_new_tokens=self.max_answer_tokens,
            num_beams=self.num_beams,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        for sample, answer in zip(samples, self.prompting.decode(tokens), strict=True):
            sample.pred_answer = answer
        return samples

    def sequences(
        self, images: Tensor, questions: Sequence[str], answers: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the language model reads: image, prompt and, in training, the answer.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Embeddings (B, T, D), their mask (B, T), and labels
            (B, T) that are ignored everywhere but at the answers.
        """
        device = images.device
        visual = self.see(images, questions)
        prompts = self.prompting.prompts(questions, device)
        none = torch.empty(0, dtype=torch.long, device=device)
        endings = (
            [none] * len(prompts) if answers is None else self.prompting.answers(answers, device)
        )
        embed = self.language.get_input_embeddings()
        rows, labels = [], []
        for patches, prompt, ending in zip(visual, prompts, endings, strict=True):
            rows.append(torch.cat([patches, embed(torch.cat([prompt, ending]))]))
            read = torch.full((len(patches) + len(prompt),), IGNORED, device=device)
            labels.append(torch.cat([read, ending]))
        mask = [torch.ones_like(row) for row in labels]
        return (
            pad_sequence(rows, batch_first=True, padding_side='left'),
            pad_sequence(mask, batch_first=True, padding_side='left'),
            pad_sequence(labels, batch_first=True, padding_value=IGNORED, padding_side='left'),
        )

    def see(self, images: Tensor, questions: Sequence[str]) -> Tensor:
        """Patches (B, L, D) in the space of words, aware of the questions."""
        patches = self.vision(images)[-1].flatten(2).transpose(1, 2)
        if self.cross_mamba is not None:
            tokens, mask = self.prompting.questions(questions, images.device)
            patches = self.cross_mamba(patches, self.language.get_input_embeddings()(tokens), mask)
        return self.projector(patches)


def _first(answer: str | Sequence[str] | None) -> str:
    if isinstance(answer, str):
        return answer
    return answer[0] if answer else ''
