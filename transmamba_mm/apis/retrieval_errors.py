"""Which tower, and which attribute of a caption, costs a trained student its recall."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import Tensor, nn

from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.checks import check, one_of
from transmamba_mm.errors import UserError
from transmamba_mm.evaluation.retrieval import attribute_recall, rank_metrics
from transmamba_mm.models.retrieval.dual_encoder import DualEncoder
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.student import student_weights, trained_student_config
from transmamba_mm.transfer.teacher import FrozenTeacher, load_strict

PHASES = ('val', 'test')
TEACHER, STUDENT = 'teacher', 'student'


@dataclass(frozen=True)
class RetrievalScores:
    """Recall of one pair of towers.

    Attributes:
        title (str): Of the checkpoint; 'teacher' of the teacher alone.
        video, text (str): Whose tower embeds videos and whose captions: 'student' or 'teacher'.
        t2v, v2t (float): R@1 in percent, as ``evaluation.retrieval.rank_metrics`` has them.
        attributes (dict[str, float]): R@1 of each attribute of a caption, text to video, in
            percent; empty for data whose captions have none.
    """

    title: str
    video: str
    text: str
    t2v: float
    v2t: float
    attributes: dict[str, float]


@dataclass(frozen=True)
class _Embedded:
    """Unit vectors of videos (n_video, D) and of texts (n_text, D)."""

    videos: Tensor
    texts: Tensor


def retrieval_errors(
    cfg: Config, checkpoints: Mapping[str, str], phase: str = 'val'
) -> list[RetrievalScores]:
    """Score trained students, and each of their towers beside the other tower of the teacher.

    Args:
        cfg (Config): A transfer of retrieval: its student, its teacher and a dataloader are used.
        checkpoints (Mapping[str, str]): Title -> checkpoint or work_dir, of a transfer or of the
            student alone, all of them of the config's student.
        phase (str): 'val' or 'test': the dataloader.

    Returns:
        list[RetrievalScores]: The teacher, then for each checkpoint the student, the student's
        videos with the teacher's texts, and the teacher's videos with the student's texts.

    Raises:
        UserError: A config without a teacher, of another task, or without the dataloader; spaces of
            different widths; a checkpoint that does not fit; a video that cannot be read.
    """
    check('retrieval_errors', 'phase', phase, one_of(*PHASES))
    if 'teacher' not in cfg.model:
        raise UserError(f'{cfg.filename} has no teacher: pass a config of configs/transmamba/.')
    if cfg.get(f'{phase}_dataloader') is None:
        raise UserError(f'{cfg.filename} has no {phase}_dataloader, whose videos are to be found.')
    init_default_scope(cfg.get('default_scope', 'transmamba_mm'))
    preprocessor = MODELS.build(cfg.data_preprocessor)
    loader = Runner.build_dataloader(cfg[f'{phase}_dataloader'], seed=0)
    captions = _captions(loader.dataset)

    teacher = FrozenTeacher(**cfg.model.teacher)
    teacher.load()
    _check(teacher.model)
    theirs = _embed(
        teacher.model, loader, preprocessor, lambda seen: teacher.preprocess(seen, preprocessor)
    )
    score = _Scorer(captions, getattr(loader.dataset, 'attributes', lambda text: {}))
    rows = [score(TEACHER, (TEACHER, theirs), (TEACHER, theirs))]
    for title, checkpoint in checkpoints.items():
        model = MODELS.build(trained_student_config(cfg.model, checkpoint))
        _check(model)
        load_strict(model, student_weights(load_state_dict(checkpoint)), str(checkpoint))
        ours = _embed(model, loader, preprocessor)
        if ours.texts.shape != theirs.texts.shape:
            raise UserError(
                f'The student embeds in {ours.texts.shape[1]} dimensions and the teacher in '
                f'{theirs.texts.shape[1]}: towers of one are compared with those of the other, '
                'so set embed_dims of the student.'
            )
        pairs = ((STUDENT, STUDENT), (STUDENT, TEACHER), (TEACHER, STUDENT))
        embedded = {STUDENT: ours, TEACHER: theirs}
        rows += [score(title, *((name, embedded[name]) for name in pair)) for pair in pairs]
    return rows


class _Scorer:
    """Scores the videos of one model with the texts of another."""

    def __init__(
        self, captions: Sequence[Sequence[str]], attributes: Callable[[str], dict[str, str]]
    ) -> None:
        counts = torch.tensor([len(own) for own in captions])
        self.owner = torch.arange(len(captions)).repeat_interleave(counts)  # (n_text,)
        self.wanted = [attributes(text) for own in captions for text in own]
        self.shown = [attributes(own[0]) for own in captions]

    def __call__(
        self, title: str, video: tuple[str, _Embedded], text: tuple[str, _Embedded]
    ) -> RetrievalScores:
        similarity = (text[1].texts.double() @ video[1].videos.double().T).float()
        found = rank_metrics(similarity, self.owner)
        attributes = attribute_recall(similarity, self.wanted, self.shown)
        return RetrievalScores(
            title, video[0], text[0], found['t2v_R1'], found['v2t_R1'], attributes
        )


def _captions(dataset: Any) -> list[list[str]]:
    """Captions of each video of a data set in test mode."""
    captions = [dataset.get_data_info(i)['text'] for i in range(len(dataset))]
    for number, own in enumerate(captions):
        if isinstance(own, str) or not own:
            raise UserError(
                f'Item {number} of {type(dataset).__name__} is no video with all of its captions: '
                'use test_mode=True, and videos with captions alone.'
            )
    return captions


def _check(model: nn.Module) -> None:
    if not isinstance(model, DualEncoder):
        raise UserError(
            f'{type(model).__name__} does not embed videos and texts in one space: pass a config '
            'of retrieval, such as videomamba-nano_clip-nano_movingdigits.py.'
        )


@torch.no_grad()
def _embed(
    model: Any, loader: Any, preprocessor: nn.Module, prepare: Callable = lambda seen: seen
) -> _Embedded:
    """Embed a whole data set; ``prepare`` turns the student's clips into the model's."""
    videos, texts = [], []
    model.eval()
    for batch in loader:
        data = preprocessor(batch)
        for sample in model(prepare(data['inputs']), data['data_samples'], mode='predict'):
            if sample.get('is_missing', False):
                raise UserError(
                    f'Video {sample.video_id} cannot be read; tools/datasets/check_videos.py '
                    'finds all such.'
                )
            videos.append(sample.video_embedding)
            texts.append(sample.text_embeddings)
    return _Embedded(torch.stack(videos), torch.cat(texts))
