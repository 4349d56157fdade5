"""Recall of text-video retrieval over a whole test set."""

from collections.abc import Callable, Iterator, Sequence

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from transmamba_mm.checks import FLAG, checked
from transmamba_mm.errors import UserError
from transmamba_mm.evaluation.reranking import rerank
from transmamba_mm.evaluation.retrieval import NAMES, ROWS, rank_statistics, ranks
from transmamba_mm.registry import METRICS


@METRICS.register_module()
class RetrievalRecall(BaseMetric):
    """R@1, R@5, R@10, median and mean rank, text to video and video to text.

    Reads of each sample, which is one video with all its texts: ``video_id``, ``video_embedding``
    (D,) and ``text_embeddings`` (n_texts, D). Similarities are dot products: the model has
    normalized both. They are summed in float64 and compared in float32, so that equal embeddings
    tie in whatever order a kernel adds. Ties and several texts of a video: see
    ``evaluation.retrieval.ranks``.

    A sample with ``is_missing`` (its video could not be decoded, or it has no text) has no
    embeddings to trust. A gallery without it is easier, so its numbers are not those of the data
    set: the metric refuses to score it unless ``allow_missing``, and then leaves the video and its
    texts out and reports the number ``missing``.

    Reports ``retrieval/t2v_R1`` ... ``retrieval/v2t_MnR``, as ``rank_metrics`` names them. With a
    ``matcher`` also ``retrieval/reranked_t2v_R1`` ..., after the ``top_k`` videos of each text, and
    the ``top_k`` texts of each video, were put into its order. For that it keeps ``patches`` and
    ``text`` of each sample, and compares all with all at once.

    Args:
        allow_missing (bool): Whether to score a set without the missing videos. Defaults to False.
        collect_device (str): Where results of several processes meet, ``'cpu'`` or ``'gpu'``.
        prefix (str, optional): What the names of the values begin with. Defaults to
            ``'retrieval'``.

    Attributes:
        matcher (Callable, optional): Scores of pairs, of lists of patches and of texts: a model's
            ``match``. ``RerankHook`` sets it.
        top_k (int): How many the matcher is asked about.

    Raises:
        UserError: If a sample lacks an embedding, if a video comes twice, on missing videos that
            are not allowed, if no video is left, or if an embedding is NaN.
    """

    default_prefix = 'retrieval'
    NAMES = (*NAMES, *(f'reranked_{name}' for name in NAMES), 'missing')

    @checked(allow_missing=FLAG)
    def __init__(self, allow_missing: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.allow_missing = allow_missing
        self.matcher: Callable[[list[Tensor], list[str]], Tensor] | None = None
        self.top_k = 10

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep what each sample holds, on the CPU; None for the embeddings of a missing one."""
        for sample in data_samples:
            if sample.get('video_id') is None:
                raise UserError(
                    'RetrievalRecall needs video_id in every sample: use it with a data set of '
                    'videos with texts, in test mode.'
                )
            if sample.get('is_missing', False):
                self.results.append((sample['video_id'], None, None, None))
                continue
            video, texts = sample.get('video_embedding'), sample.get('text_embeddings')
            if video is None or texts is None:
                raise UserError(
                    'RetrievalRecall needs video_embedding and text_embeddings in every sample: '
                    'use it with a model that retrieves videos.'
                )
            if video.ndim != 1 or texts.ndim != 2 or texts.shape[1:] != video.shape:
                raise UserError(
                    f'Video {sample["video_id"]} has embeddings of shapes {tuple(video.shape)} and '
                    f'{tuple(texts.shape)}: (D,) and (n_texts, D) can be compared.'
                )
            pair = None
            if self.matcher is not None:
                words = sample['text']
                pair = sample['patches'], [words] if isinstance(words, str) else list(words)
            self.results.append(
                (sample['video_id'], video.detach().cpu(), texts.detach().cpu(), pair)
            )

    def compute_metrics(
        self, results: list[tuple[int | str, Tensor | None, Tensor | None, tuple | None]]
    ) -> dict[str, float]:
        """Compare all texts with all videos, some rows at a time."""
        names = [name for name, *_ in results]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(
                f'Video {twice} was evaluated more than once: a test set holds each video once, '
                'with all its texts.'
            )
        kept = [result[1:] for result in results if result[1] is not None]
        missing = [name for name, video, *_ in results if video is None]
        if missing and not self.allow_missing:
            raise UserError(
                f'{len(missing)} of {len(results)} videos are missing (the first: {missing[0]}): '
                'they could not be read or have no text, and without them the numbers are not '
                'those of the data set. Fix them (tools/datasets/check_videos.py finds them), or '
                'set allow_missing=True.'
            )
        if not kept:
            raise UserError('Every video is missing: nothing is left to score.')
        videos = torch.stack([video for video, *_ in kept]).double()  # (n_video, D)
        texts = torch.cat([text for _, text, _ in kept]).double()  # (n_text, D)
        counts = torch.tensor([len(text) for _, text, _ in kept])
        owner = torch.arange(len(kept)).repeat_interleave(counts)  # (n_text,)
        values = rank_statistics(*ranks(_similarities(texts, videos), owner, len(kept)))
        if self.matcher is not None:
            similarity = torch.cat(list(_similarities(texts, videos)))
            again = self._reranked(similarity, owner, [pair for *_, pair in kept])
            values |= {f'reranked_{name}': value for name, value in again.items()}
        return {**values, 'missing': len(missing)} if self.allow_missing else values

    def _reranked(self, similarity: Tensor, owner: Tensor, pairs: list[tuple]) -> dict[str, float]:
        """Metrics after re-ranking, from (n_text, n_video) similarities."""
        patches = [own for own, _ in pairs]
        words = [word for _, own in pairs for word in own]

        def match(texts: Tensor, videos: Tensor) -> Tensor:
            return self.matcher([patches[i] for i in videos], [words[i] for i in texts])

        t2v = rerank(similarity, self.top_k, match)
        v2t = rerank(similarity.T, self.top_k, lambda videos, texts: match(texts, videos)).T
        columns = owner, similarity.shape[1]
        return rank_statistics(ranks([t2v], *columns)[0], ranks([v2t], *columns)[1])


def _similarities(texts: Tensor, videos: Tensor) -> Iterator[Tensor]:
    """Rows of (n_text, n_video) similarities, block by block."""
    return ((block @ videos.T).float() for block in texts.split(ROWS))
