"""Image and conversation as one sequence of embeddings."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from transmamba_mm.models.token_batch import IGNORED, TokenBatch, TokenRow, pad_rows
from transmamba_mm.models.vqa.prompt_template import PromptTemplate


class MultimodalEmbedder(nn.Module):
    """Puts the patches of an image where the prompt has its place for them.

    It has no parameters; it is a module so that a transfer can record its output.

    Args:
        prompt_template (PromptTemplate): Makes tokens of conversations.
    """

    def __init__(self, prompt_template: PromptTemplate) -> None:
        super().__init__()
        self.prompt_template = prompt_template

    def forward(
        self,
        visual: Tensor,
        conversations: Sequence[Sequence[str]],
        embed: Callable[[Tensor], Tensor],
    ) -> TokenBatch:
        """Join patches (B, L, D) and B conversations; ``embed`` turns tokens (T,) into (T, D)."""
        return pad_rows(
            [
                self._row(patches, turns, embed)
                for patches, turns in zip(visual, conversations, strict=True)
            ]
        )

    def _row(
        self, patches: Tensor, turns: Sequence[str], embed: Callable[[Tensor], Tensor]
    ) -> TokenRow:
        prompt, count, device = self.prompt_template(turns), len(patches), patches.device
        words = embed(torch.tensor(prompt.tokens, dtype=torch.long, device=device))
        labels = torch.tensor(prompt.labels, dtype=torch.long, device=device)
        place = prompt.image
        return TokenRow(
            torch.cat([words[:place], patches.to(words.dtype), words[place:]]),
            torch.cat([labels[:place], labels.new_full((count,), IGNORED), labels[place:]]),
            torch.arange(place, place + count, device=device),
            {mark: _shifted(mark, at, place, count) for mark, at in prompt.char_offsets.items()},
        )


def _shifted(mark: tuple[int, int], at: int, place: int, count: int) -> int:
    """Position of a mark after ``count`` patches were put before token ``place``.

    An answer that has not begun is awaited at the last place before it, be that a patch.
    """
    awaits = mark[1] == 0
    return at + count * (at + awaits >= place)
