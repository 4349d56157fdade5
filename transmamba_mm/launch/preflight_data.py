"""Check that a config's data is on the disk, and name the download if not."""

import inspect
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import ConfigDict

from transmamba_mm.errors import UserError
from transmamba_mm.launch.data_config import type_name

#: Those of ``datasets.retrieval``, which report missing files themselves.
RETRIEVAL = ('DiDeMo', 'MSRVTT', 'MovingDigits', 'MovingDigitsCls', 'VideoCaptions')
COCO = 'https://cocodataset.org/#download'
CIFAR = 'mkdir -p {root} && curl -L https://www.cs.toronto.edu/~kriz/{archive} | tar -xz -C {root}'
IMAGENET = (
    'Register at https://image-net.org, download ILSVRC2012 and unpack it as train/<class>/*.JPEG '
    'and val/<class>/*.JPEG (or val/*.JPEG with meta/val.txt), as mmpretrain describes.'
)
#: Downloads of the questions and images of a data set.
QUESTIONS = {
    'COCOVQA': (
        'Questions and annotations: https://visualqa.org/download.html (OK-VQA: '
        f'https://okvqa.allenai.org/download.html); images (train2014, val2014): {COCO}.'
    ),
    'GQA': (
        'Images: https://cs.stanford.edu/people/dorarad/gqa/download.html; annotations: those of '
        'LAVIS, which mmpretrain.datasets.GQA names.'
    ),
    'TextVQA': 'Questions and images: https://textvqa.org/dataset.',
    'ScienceQA': 'Problems and images: https://github.com/lupantech/ScienceQA.',
    'LlavaInstruct': (
        'Conversations: https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K; images '
        f'(train2017): {COCO}.'
    ),
}
#: Steps that read files, and the ``on_bad`` values allowed in an evaluation.
EVALUATED = {
    'DecodeVideo': "'mark' (retrieval, which counts missing videos) or 'raise'",
    'LoadImage': "'raise'",
}
#: Arguments of those that name a file.
FILES = ('ann_file', 'question_file', 'split_file')


def missing_data(dataset: ConfigDict) -> Iterator[str]:
    """Report files of a data set that are missing at its config's paths, and what to do."""
    kind = type_name(dataset)
    try:
        paths, advice = _wanted(kind, dataset)
    except UserError as error:
        yield str(error)
        return
    faults = [fault for fault in map(_fault, paths) if fault]
    if faults:
        place = '' if paths[0].is_absolute() else f' (searched {Path().absolute()})'
        yield f'{kind} data: {", ".join(faults)}{place}. {advice}'


def unseen_gaps(dataset: ConfigDict) -> Iterator[str]:
    """Report steps of an evaluation's pipeline that would skip unreadable files."""
    for step in dataset.get('pipeline') or ():
        kind = type_name(step)
        if kind in EVALUATED and step.get('on_bad', 'skip') == 'skip':
            yield (
                f"{kind} has on_bad='skip', which is for training, but an evaluation that skips "
                f'samples does not measure its data set: set on_bad={EVALUATED[kind]}.'
            )


def _wanted(kind: str, dataset: ConfigDict) -> tuple[list[Path], str]:
    """The files and folders that a data set reads, and their download."""
    root = dataset.get('data_root')
    if kind in RETRIEVAL:
        return _retrieval(kind, dataset)
    if kind in QUESTIONS:
        base = Path(root or '').expanduser()
        prefixes = dataset.get('data_prefix') or ''
        folders = prefixes.values() if isinstance(prefixes, dict) else [prefixes]
        names = [*(dataset[name] for name in FILES if dataset.get(name)), *folders]
        return [base / name for name in names], QUESTIONS[kind]
    if not root:
        return [], ''
    root = Path(root).expanduser()
    if kind == 'ImageNet':
        return [root / (dataset.get('split') or '')], IMAGENET
    if kind in ('CIFAR10', 'CIFAR100'):
        folder = 'cifar-100-python' if kind == 'CIFAR100' else 'cifar-10-batches-py'
        archive = f'{kind[:5].lower()}-{kind[5:]}-python.tar.gz'
        return [root / folder], CIFAR.format(root=root, archive=archive)
    return [root], 'Change data_root, or put the data there.'


def _retrieval(kind: str, dataset: ConfigDict) -> tuple[list[Path], str]:
    from transmamba_mm.datasets import retrieval  # seconds that a --help need not wait

    arguments = {name: value for name, value in dataset.items() if name != 'type'}
    needy = getattr(retrieval, kind)
    parameters = inspect.signature(needy).parameters
    if 'split' in parameters and 'split' not in arguments:
        return [], ''  # building it reports that
    default = parameters['data_root'].default if 'data_root' in parameters else ''
    root = Path(arguments.get('data_root') or default).expanduser()
    files = needy.files(**arguments)
    prefix = arguments.get('data_prefix') or {'video_path': Path(files[-1]).parent / 'videos'}
    return [root / name for name in (*files, prefix['video_path'])], needy.HELP.format(root=root)


def _fault(path: Path) -> str | None:
    """The fault of a file or folder, if any."""
    if not path.exists():
        return f'{path} does not exist'
    is_empty = not any(path.iterdir()) if path.is_dir() else not path.stat().st_size
    return f'{path} is empty' if is_empty else None
