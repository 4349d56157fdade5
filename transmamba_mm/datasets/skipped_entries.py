"""Report unusable entries of an annotation file, counted by cause."""

from collections import Counter
from collections.abc import Sequence

from mmengine.logging import MMLogger

from transmamba_mm.errors import UserError

ON_BAD = ('skip', 'raise')
SHOWN = 5  # bad entries that the message names


def report_bad(
    source: str, bad: Sequence[tuple[str, str]], on_bad: str, fate: str = 'They are left out.'
) -> None:
    """Report the number of bad entries, the reasons and the first ones.

    Args:
        source: The file.
        bad: Pairs of an entry's name and its fault.
        on_bad: ``'skip'``: a warning; ``'raise'``: an error.
        fate: What happens to them, for the warning.

    Raises:
        UserError: With ``'raise'``, if there are any.
    """
    if not bad:
        return
    causes = Counter(fault for _, fault in bad).most_common()
    counted = '; '.join(f'{number} x {fault}' for fault, number in causes)
    first = '; '.join(f'{name}: {fault}' for name, fault in bad[:SHOWN])
    text = f'{source} has bad entries ({len(bad)}): {counted}. The first: {first}.'
    text = text.encode('utf-8', 'backslashreplace').decode()  # a log takes no half of a pair
    if on_bad == 'raise':
        raise UserError(f"{text} Fix them, or skip them with on_bad='skip'.")
    MMLogger.get_current_instance().warning(f'{text} {fate}')
