"""Format multiple-choice questions as text, and parse the choice from an answer."""

import re
from collections.abc import Sequence
from string import ascii_uppercase

from mmcv.transforms import BaseTransform

from transmamba_mm.errors import UserError
from transmamba_mm.registry import TRANSFORMS

#: 'b', '(B)', 'B.' alone; '(B) iron', 'B. iron', 'B: iron'.
LETTER = re.compile(r'\(?([A-Za-z])[).:]?|\(([A-Za-z])\).*|([A-Za-z])[).:]\s.*', re.DOTALL)


@TRANSFORMS.register_module()
class FormatChoices(BaseTransform):
    """Put the choices of a question into its text, and make its answer the letter of one.

    Required keys: ``question``, ``choices`` (a list of texts), ``gt_answer`` (the place of the true
    one); ``hint``, which may be empty or missing. Changed keys: ``question``, now::

        Which is a metal?
        Context: The table shows three materials.
        Options: (A) wood (B) iron (C) glass

    and ``gt_answer``, now 'B'. An item without ``choices`` is left as it is.

    Raises:
        UserError: Fewer than two choices or too many for the letters, a ``gt_answer`` that is none
            of their places.
    """

    def transform(self, results: dict) -> dict:
        """Write the letters."""
        choices = results.get('choices')
        if choices is None:
            return results
        place = results['gt_answer']
        if not 2 <= len(choices) <= len(ascii_uppercase) or place not in range(len(choices)):
            raise UserError(
                f'The question {results["question"]!r} has {len(choices)} choices and answer '
                f'number {place!r}: correct the annotations, or leave it out.'
            )
        hint = (results.get('hint') or '').strip()
        options = (f'({ascii_uppercase[i]}) {text}' for i, text in enumerate(choices))
        lines = [results['question'].strip(), f'Context: {hint}', f'Options: {" ".join(options)}']
        results['question'] = '\n'.join(lines if hint else lines[::2])
        results['gt_answer'] = ascii_uppercase[place]
        return results


def chosen(answer: str, choices: Sequence[str]) -> int | None:
    """The place of the choice that an answer names by its letter or in its words, None if none.

    Args:
        answer (str): What a model wrote: 'B', '(b)', 'B. iron', 'iron'.
        choices (Sequence[str]): The texts of the choices.
    """
    answer = answer.strip()
    words = [text.strip().casefold() for text in choices]
    if answer.casefold() in words:
        return words.index(answer.casefold())
    found = LETTER.fullmatch(answer)
    if found is None:
        return None
    place = ascii_uppercase.index(next(filter(None, found.groups())).upper())
    return place if place < len(choices) else None
