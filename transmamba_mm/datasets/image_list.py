"""Find one's own images and their classes: folders, or a table."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from transmamba_mm.datasets.images import IMAGE_SUFFIXES
from transmamba_mm.errors import UserError

#: Names of the parts of a data set, in folders and tables.
SPLITS = {
    'train': ('train', 'training'),
    'val': ('val', 'valid', 'validation'),
    'test': ('test', 'testing'),
}
VAL_SHARE = 0.2  # of the images to train on, where nothing is set apart
COLUMNS = ('image', 'label')
LAYOUT = (
    'Expected FOLDER/CLASS/*.jpg, FOLDER/{train,val,test}/CLASS/*.jpg, or a .csv with the columns '
    'image, label and, if images are split already, split (train, val, test).'
)


@dataclass
class ImageList:
    """Images with a class each.

    Attributes:
        source (Path): The folder or table.
        files (list[Path]): The images.
        labels (np.ndarray): (n,) index of each image's class.
        splits (np.ndarray): (n,) 'train', 'val' or 'test'.
        classes (list[str]): Names of the classes, sorted.
        made_val (bool): Whether the validation images were drawn from those to train on.
        ignored (Counter): Suffixes of other files in the folders.
    """

    source: Path
    files: list[Path]
    labels: np.ndarray
    splits: np.ndarray
    classes: list[str]
    made_val: bool = False
    ignored: Counter[str] = field(default_factory=Counter)

    @property
    def has_test(self) -> bool:
        """Whether there are images to test on besides those to choose on."""
        return bool((self.splits == 'test').any())

    def of_split(self, split: str) -> np.ndarray:
        """Indices of a part; without images to test on, 'test' is 'val'."""
        if split == 'test' and not self.has_test:
            split = 'val'
        return np.flatnonzero(self.splits == split)

    def counts(self, split: str) -> dict[str, int]:
        """Images of each class in a part."""
        counts = np.bincount(self.labels[self.of_split(split)], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))


def list_images(source: str | Path, val_share: float = VAL_SHARE, seed: int = 0) -> ImageList:
    """Find the images of a folder or table.

    Where no image is set apart for validation, ``val_share`` of each class's images to train on is,
    one at least: drawn by ``seed``, the same ones each time.

    Args:
        source (str | Path): A folder with a folder for each class, or with such folders in
            ``train``, ``val`` and ``test``; or a ``.csv`` with a header, whose images are relative
            to its own folder.
        val_share (float): In (0, 1).
        seed (int): Seed of the draw.

    Raises:
        UserError: No such folder or table; no images; fewer than two classes; a class without
            images to train on, or with too few for a validation set; a class of another part that
            is not among those to train on.
    """
    source = Path(source).expanduser()
    ignored: Counter[str] = Counter()
    if source.suffix.lower() == '.csv':
        rows = list(_read_table(source))
    elif source.is_dir():
        rows = list(_read_folder(source, ignored))
    else:
        raise UserError(f'No images at {source}: it is neither a folder nor a .csv. {LAYOUT}')
    if not rows:
        others = ', '.join(f'{count} {suffix}' for suffix, count in ignored.most_common(3))
        found = f'only {others}' if ignored else 'nothing'
        raise UserError(f'No images in {source}, {found}. {LAYOUT}')
    files, names, splits = zip(*rows, strict=True)
    classes = sorted({name for name, split in zip(names, splits, strict=True) if split == 'train'})
    index = {name: i for i, name in enumerate(classes)}
    if unknown := sorted({name for name in names if name not in index}):
        raise UserError(
            f'{source} has no images to train on of {", ".join(unknown[:5])}'
            f'{" ..." if len(unknown) > 5 else ""}, only some to validate or test on.'
        )
    if len(classes) < 2:
        raise UserError(
            f'{source} has one class, {classes[0]}: a classifier needs two or more. {LAYOUT}'
        )
    labels = np.array([index[name] for name in names])
    found = ImageList(source, list(files), labels, np.array(splits), classes, ignored=ignored)
    if not len(found.of_split('val')):
        _draw_validation(found, val_share, seed)
    return found


def _read_folder(root: Path, ignored: Counter[str]) -> Iterator[tuple[Path, str, str]]:
    folders = {path.name.lower(): path for path in _folders(root)}
    parts = {
        split: next((folders[name] for name in names if name in folders), None)
        for split, names in SPLITS.items()
    }
    if parts['train'] is None:
        parts = {'train': root}
    for split, part in parts.items():
        for folder in _folders(part) if part else ():
            for path in sorted(folder.rglob('*')):
                if path.name.startswith('.') or path.is_dir():
                    continue
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    yield path, folder.name, split
                else:
                    ignored[path.suffix.lower() or 'without suffix'] += 1


def list_folder(root: Path) -> list[Path]:
    """The images anywhere below a folder, sorted; hidden files and other suffixes are left out."""
    return [
        path
        for path in sorted(root.rglob('*'))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith('.')
        and path.is_file()
    ]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != '.')


def _read_table(path: Path) -> Iterator[tuple[Path, str, str]]:
    known = {name: split for split, names in SPLITS.items() for name in names}
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            rows = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise UserError(
                    f'{path} has the columns {rows.fieldnames}, not {", ".join(missing)}. {LAYOUT}'
                )
            for row in rows:
                image, label = (row[name] for name in COLUMNS)
                split = (row.get('split') or 'train').strip().lower()
                if not image or not label or split not in known:
                    raise UserError(
                        f'{path}, line {rows.line_num}: image={image!r}, label={label!r}, '
                        f'split={split!r}; each line needs an image and a label, and split is one '
                        f'of {", ".join(SPLITS)}.'
                    )
                yield path.parent / image, label, known[split]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'The table {path} cannot be read ({error}).') from error


def _draw_validation(found: ImageList, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for label, name in enumerate(found.classes):
        members = np.flatnonzero((found.labels == label) & (found.splits == 'train'))
        if len(members) < 2:
            raise UserError(
                f'Class {name} of {found.source} has one image: two are needed, to train on one '
                'and to validate on the other.'
            )
        drawn = max(1, round(share * len(members)))
        found.splits[rng.permutation(members)[:drawn]] = 'val'
    found.made_val = True
