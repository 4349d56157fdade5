"""Recall and ranks of text-video retrieval, of matrices that need not fit into memory at once."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from transmamba_mm.errors import UserError

RECALLS = (1, 5, 10)
DIRECTIONS = ('t2v', 'v2t')
ROWS = 4096  # texts compared with all videos at a time


#: Metrics of both directions.
NAMES = tuple(
    f'{direction}_{name}'
    for direction in DIRECTIONS
    for name in (*(f'R{k}' for k in RECALLS), 'MdR', 'MnR')
)


def rank_metrics(similarity: Tensor, video_of_text: Tensor) -> dict[str, float]:
    """Score a similarity matrix in both directions; ``ranks`` defines a rank.

    Args:
        similarity (Tensor): (n_text, n_video) the larger, the more alike.
        video_of_text (Tensor): (n_text,) long, the column of the video that a text describes.

    Returns:
        dict[str, float]: For text to video (``t2v_``) and video to text (``v2t_``): ``R1``, ``R5``
        and ``R10``, the percentage of queries whose true match is among the first 1, 5 and 10,
        and ``MdR`` and ``MnR``, the median and the mean of the ranks (1 is the best).

    Raises:
        UserError: As ``ranks``.
    """
    t2v, v2t = ranks(similarity.split(ROWS), video_of_text, similarity.shape[-1])
    return rank_statistics(t2v, v2t)


def ranks(blocks: Iterable[Tensor], video_of_text: Tensor, n_video: int) -> tuple[Tensor, Tensor]:
    """Rank of the true match of each text, and of each video that has texts.

    Text to video: every text is a query among all videos. Video to text: every video with texts is
    a query among the videos' sets of texts, each as good as its best text; so a video's other texts
    never count against it, as in CLIP4Clip (arXiv 2104.08860). Videos without texts are only there
    to be confused with.

    Ties are pessimistic: a rank is 1 plus the number of wrong candidates that are *at least* as
    good as the true one. A model that gives everything the same score is ranked last everywhere,
    and recalls nothing from a gallery that is larger than the k of the recall.
    Infinite scores are compared like any others.

    Args:
        blocks (Iterable[Tensor]): Consecutive rows of the (n_text, n_video) similarity.
        video_of_text (Tensor): (n_text,) long, the column of the video that a text describes.
        n_video (int): Number of columns.

    Returns:
        tuple[Tensor, Tensor]: (n_text,) and (videos with texts,), long.

    Raises:
        UserError: If a similarity is NaN (its metrics would pass for a result), if
            there is nothing to rank, or if the shapes or the columns do not fit.
    """
    if not len(video_of_text) or not 0 <= int(video_of_text.min()) <= video_of_text.max() < n_video:
        raise UserError(
            f'{len(video_of_text)} texts of {n_video} videos cannot be ranked: every text needs a '
            f'video in 0..{n_video - 1}, and there must be at least one text.'
        )
    t2v, best, start = [], None, 0
    for block in blocks:
        own = video_of_text[start : start + len(block)].to(block.device)
        if block.shape != (len(own), n_video):
            raise UserError(
                f'Similarities of shape {tuple(block.shape)} do not fit {len(video_of_text)} texts '
                f'of {n_video} videos: they are (n_text, n_video).'
            )
        if block.isnan().any():
            raise UserError(
                f'Similarities are NaN (text {start + int(block.isnan().any(1).nonzero()[0])} is '
                'the first): the model has diverged. Take an earlier checkpoint.'
            )
        t2v.append((block >= block.gather(1, own[:, None])).sum(1))
        if best is None:
            best = block.new_full((n_video, n_video), -torch.inf)
        best.scatter_reduce_(0, own[:, None].expand_as(block), block, 'amax')
        start += len(block)
    if start != len(video_of_text):
        raise UserError(f'There are {start} rows of similarities for {len(video_of_text)} texts.')
    queries = video_of_text.unique().to(best.device)
    candidates = best[queries][:, queries]  # (sets of texts, videos)
    return torch.cat(t2v).cpu(), (candidates >= candidates.diagonal()).sum(0).cpu()


def attribute_recall(
    similarity: Tensor,
    named: Sequence[Mapping[str, str]],
    shown: Sequence[Mapping[str, str]],
) -> dict[str, float]:
    """R@1 of each attribute: the percentage of texts whose first video has their value of it.

    As in :func:`ranks` ties are pessimistic: a video of the wrong value comes first.

    Args:
        similarity (Tensor): (n_text, n_video) the larger, the more alike.
        named (Sequence[Mapping]): Attributes of each text, name -> value; the same names in all.
        shown (Sequence[Mapping]): Attributes of each video.

    Returns:
        dict[str, float]: By name of the attribute.
    """
    recall = {}
    for name in named[0]:
        values = sorted({entry[name] for entry in (*named, *shown)})
        of_text, of_video = (
            torch.tensor([values.index(entry[name]) for entry in entries])
            for entries in (named, shown)
        )
        right = (of_text[:, None] == of_video).to(similarity.device)  # (n_text, n_video)
        best = similarity.masked_fill(~right, -torch.inf).amax(1)
        other = similarity.masked_fill(right, -torch.inf).amax(1)
        recall[name] = 100 * float((best > other).double().mean())
    return recall


def rank_statistics(t2v: Tensor, v2t: Tensor) -> dict[str, float]:
    """The numbers that ``rank_metrics`` names, of ranks of any shape (n,)."""
    values = {}
    for direction, rank in zip(DIRECTIONS, (t2v.double(), v2t.double()), strict=True):
        for k in RECALLS:
            values[f'{direction}_R{k}'] = 100 * float((rank <= k).double().mean())
        values[f'{direction}_MdR'] = float(rank.quantile(0.5))
        values[f'{direction}_MnR'] = float(rank.mean())
    return values
