"""LLaVA's instruction data: conversations about an image, in one JSON file."""

import os

from mmengine.dataset import BaseDataset

from transmamba_mm.checks import checked, one_of
from transmamba_mm.datasets.annotations import is_unicode, name_fault, read_json
from transmamba_mm.datasets.skipped_entries import ON_BAD, report_bad
from transmamba_mm.errors import UserError
from transmamba_mm.registry import DATASETS

IMAGE_MARK = '<image>'
SPEAKERS = ('human', 'gpt')
HELP = 'Correct ann_file and data_root, or fetch the list of conversations of LLaVA again.'


@DATASETS.register_module()
class LlavaInstruct(BaseDataset):
    """Conversations of LLaVA's visual instruction tuning (arXiv 2304.08485), one item per entry.

    The file is a list of ``{"id", "image", "conversations": [{"from": "human" | "gpt", "value"},
    ...]}``; ``<image>`` in one human turn is where the image goes, and an entry without ``image``
    is text only. An item holds ``img_path`` (not if it is text only), ``conversation``, the list of
    ``{'from', 'value'}`` as in the file without white space around the values, and
    ``question_id``, the entry's id or else its place in the file.

    Args:
        ann_file (str): The JSON file, below ``data_root`` unless absolute.
        data_root (str): Folder that the other paths are below.
        data_prefix (dict): ``img_path``: folder that the images' names are below.
        text_only (bool): Whether to keep entries without an image. Their items have no ``img_path``
            for a pipeline to load. Defaults to False.
        on_bad (str): What to do with entries that cannot be learned from: ``'skip'`` with one
            warning that counts them by cause, or ``'raise'``.
        **kwargs: As in mmengine's ``BaseDataset``.

    Raises:
        UserError: If the file is missing or not such a list, if it holds bad entries and
            ``on_bad='raise'``, or if nothing is left.
    """

    @checked(on_bad=one_of(*ON_BAD))
    def __init__(
        self, ann_file: str, text_only: bool = False, on_bad: str = 'skip', **kwargs
    ) -> None:
        self.text_only = text_only
        self.on_bad = on_bad
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the file: one dict per good entry, in its order."""
        items, bad, texts = [], [], 0
        for place, entry in enumerate(read_json(self.ann_file, list, HELP)):
            fault = self._fault(entry)
            if fault:
                name = entry.get('id', place) if isinstance(entry, dict) else place
                bad.append((f'{name} (entry {place})', fault))
            elif entry.get('image') or self.text_only:
                items.append(self._item(entry, place))
            else:
                texts += 1
        report_bad(self.ann_file, bad, self.on_bad)
        if not items:
            raise UserError(
                f'{self.ann_file} has no usable conversation (bad entries: {len(bad)}, without '
                f'an image: {texts}). Check data_prefix.img_path, or set text_only=True.'
            )
        return items

    def _fault(self, entry: object) -> str | None:
        """The fault of an entry, if any."""
        turns = entry.get('conversations') if isinstance(entry, dict) else None
        if not isinstance(turns, list) or not turns:
            return 'no conversation'
        for place, turn in enumerate(turns):
            if not isinstance(turn, dict) or turn.get('from') != SPEAKERS[place % 2]:
                return 'turns that do not alternate between human and gpt'
            text = turn.get('value')
            if not isinstance(text, str) or not text.replace(IMAGE_MARK, '').strip():
                return 'a question without text' if place % 2 == 0 else 'an answer without text'
            if not is_unicode(text):
                return 'a text that is not Unicode'
        if len(turns) % 2:
            return 'a question without an answer'
        if any(IMAGE_MARK in turn['value'] for turn in turns[1::2]):
            return f'{IMAGE_MARK} in an answer'
        image = entry.get('image')
        if sum(turn['value'].count(IMAGE_MARK) for turn in turns) != bool(image):
            return f'not one {IMAGE_MARK} for each image'
        if image and (name_fault(image) or not os.path.isfile(self._image_path(image))):
            return 'a missing image'
        return None

    def _image_path(self, name: str) -> str:
        return os.path.join(self.data_prefix.get('img_path', ''), name)

    def _item(self, entry: dict, place: int) -> dict:
        conversation = [
            {'from': turn['from'], 'value': turn['value'].strip()}
            for turn in entry['conversations']
        ]
        item = {'conversation': conversation, 'question_id': entry.get('id', place)}
        if entry.get('image'):
            item['img_path'] = self._image_path(entry['image'])
        return item
