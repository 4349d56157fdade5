"""A folder of videos and a file of their captions."""

from collections.abc import Iterator

from transmamba_mm.datasets.annotations import TOO_LONG, name_fault, parse_json, read_lines
from transmamba_mm.datasets.retrieval.video_texts import Entry, VideoTextDataset
from transmamba_mm.registry import DATASETS


@DATASETS.register_module()
class VideoCaptions(VideoTextDataset):
    """Your own videos: a folder ``videos`` and beside it ``captions.jsonl``, in UTF-8.

    Each line of the file is an object ``{"video": "a.mp4", "caption": "..."}`` or
    ``{"video": "a.mp4", "captions": ["...", "..."]}``; a video may come in many lines. With
    ``"meaning": "..."`` beside them, captions of equal meanings belong together in training, even
    if they are of two videos and differ in words. Other keys are not read.

    Args:
        ann_file (str): The file. Defaults to ``'captions.jsonl'``.
        **kwargs: See ``VideoTextDataset``; ``data_root`` is the folder of both.
    """

    def __init__(self, ann_file: str = 'captions.jsonl', **kwargs) -> None:
        super().__init__(ann_file=ann_file, **kwargs)

    @classmethod
    def files(cls, ann_file: str = 'captions.jsonl', **kwargs) -> tuple[str, ...]:
        """Name the file of the captions."""
        return (ann_file,)

    def entries(self, bad: list[tuple[str, str]]) -> Iterator[Entry]:
        """Read the lines."""
        for number, line in read_lines(self.ann_file, self.help()):
            entry = TOO_LONG if line is None else _entry(line, f'line {number}')
            if isinstance(entry, Entry):
                yield entry
            else:
                bad.append((f'line {number}', entry))


def _entry(line: bytes, place: str) -> Entry | str:
    """Parse a line; returns the fault if it is malformed."""
    try:
        content = parse_json(line)
    except ValueError as error:
        return str(error).partition(':')[0]  # causes are counted, and where it is differs
    video = content.get('video') if isinstance(content, dict) else None
    if fault := name_fault(video):
        return fault
    captions = content.get('captions', [])
    if not isinstance(captions, list) or not {'caption', 'captions'} & set(content):
        return 'has neither a caption nor a list of captions'
    if 'caption' in content:
        captions = [content['caption'], *captions]
    meaning = content.get('meaning')
    if not isinstance(meaning, str | None):
        return 'a meaning that is not text'
    return Entry(video, captions, place, meaning)
