"""Check one's own images before anything is trained on them."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image

from transmamba_mm.datasets.image_list import ImageList
from transmamba_mm.datasets.image_pixels import read_image
from transmamba_mm.datasets.images import ImageError
from transmamba_mm.errors import UserError

#: Images to train on that a transfer needs at least; with fewer, no accuracy means anything.
LEAST_IMAGES = 20
SHOWN = 5
SAMPLE = 500  # images whose size is read


@dataclass
class DataSummary:
    """Numbers and sizes of the images.

    Attributes:
        images (ImageList): All of them.
        smallest, median, largest (tuple[int, int]): Width and height, of a sample.
    """

    images: ImageList
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]

    def lines(self) -> list[str]:
        """The summary as text."""
        found = self.images
        lines = [f'{found.source}: {len(found.files)} images of {len(found.classes)} classes.']
        parts = ['train', 'val', *(['test'] if found.has_test else [])]
        counts = {part: found.counts(part) for part in parts}
        for name in found.classes[:SHOWN]:
            numbers = ', '.join(f'{counts[part][name]} {part}' for part in parts)
            lines.append(f'  {name}: {numbers}')
        if len(found.classes) > SHOWN:
            lines.append(f'  ... and {len(found.classes) - SHOWN} more classes')
        if found.made_val:
            lines.append(
                f'  Validation images were drawn from yours: {sum(counts["val"].values())}, always '
                'the same ones.'
            )
        if not found.has_test:
            lines.append('  There are no test images: the accuracy is that of validation.')
        if found.ignored:
            others = ', '.join(f'{number} {name}' for name, number in found.ignored.most_common(3))
            lines.append(f'  Left out, no images by their names: {others}')
        sizes = (self.smallest, self.median, self.largest)
        shown = ' / '.join(f'{width}x{height}' for width, height in sizes)
        lines.append(f'  Sizes, smallest / median / largest: {shown}')
        return lines


def check_images(images: ImageList, seed: int = 0) -> DataSummary:
    """Summarize the images.

    All that validate and test are read; of the others a sample. Training skips and counts bad ones.

    Raises:
        UserError: Too few images to train on; unreadable images to validate or test on.
    """
    counts = images.counts('train')
    total = sum(counts.values())
    if total < LEAST_IMAGES:
        raise UserError(
            f'{images.source} has {total} images to train on, fewer than {LEAST_IMAGES}: too few '
            'for a transfer. Collect more; a few hundred a class is a good start.'
        )
    rng = np.random.default_rng(seed)
    training = rng.permutation(images.of_split('train'))[:SAMPLE]
    evaluated = np.union1d(images.of_split('val'), images.of_split('test'))
    faults, skipped, sizes = [], Counter(), []
    for i in [*evaluated, *training]:
        path = images.files[i]
        try:
            if images.splits[i] == 'train':
                with Image.open(path) as image:
                    sizes.append(image.size)
            else:
                height, width = read_image(path).shape[:2]
                sizes.append((width, height))
        except (ImageError, OSError, ValueError) as error:
            if images.splits[i] == 'train':
                skipped[type(error).__name__] += 1
            else:
                faults.append(str(error))
    if faults:
        more = f' And {len(faults) - SHOWN} more.' if len(faults) > SHOWN else ''
        raise UserError(
            f'{len(faults)} images to validate or test on cannot be read: '
            f'{" ".join(faults[:SHOWN])}{more} Replace or remove them.'
        )
    if not sizes:
        raise UserError(f'None of {len(training)} images of {images.source} can be read.')
    if skipped:
        images.ignored['unreadable, of the sample'] = sum(skipped.values())
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    return DataSummary(images, by_area[0], by_area[len(by_area) // 2], by_area[-1])
