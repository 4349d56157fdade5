"""Choose the settings of a transfer on one's own images, each with its reason."""

from dataclasses import dataclass
from math import ceil

from transmamba_mm.convert.teachers import PretrainedClassifier
from transmamba_mm.datasets.image_list import ImageList
from transmamba_mm.errors import UserError
from transmamba_mm.own_data.students import HIERARCHICAL, SWAP

BATCH_SIZE = 32
#: Updates that a student gets at least, by default: what is enough for thousands of images.
LEAST_STEPS = 2000
MOST_EPOCHS = 300
TEACHER_STEPS = 500
#: Width from which on a student is as sensitive as the published ones.
WIDE = 192


@dataclass(frozen=True)
class TransferPlan:
    """The settings.

    Attributes:
        images (ImageList): To train, validate and test on.
        teacher (PretrainedClassifier): The teacher.
        student (str): Name of the student.
        size (int): Side of its images.
        method (str): Of ``configs/_base_/methods``, or a file.
        batch_size, epochs, teacher_epochs (int): Of the student, and of the teacher's head.
        learning_rate (float): Of the student.
        reasons (dict[str, str]): Setting -> why.
    """

    images: ImageList
    teacher: PretrainedClassifier
    student: str
    size: int
    method: str
    batch_size: int
    epochs: int
    teacher_epochs: int
    learning_rate: float
    reasons: dict[str, str]

    @property
    def steps_per_epoch(self) -> int:
        """Updates that see all images to train on once."""
        return max(len(self.images.of_split('train')) // self.batch_size, 1)

    @property
    def steps(self) -> int:
        """Updates of the student."""
        return self.epochs * self.steps_per_epoch

    @property
    def teacher_steps(self) -> int:
        """Updates of the teacher's head; 0: its classes are the images'."""
        return self.teacher_epochs * self.steps_per_epoch

    def lines(self) -> list[str]:
        """The settings and their reasons as text."""
        values = {
            'size': f'{self.size} pixels',
            'method': self.method,
            'batch size': str(self.batch_size),
            'epochs': f'{self.epochs} ({self.steps} steps)',
            'learning rate': f'{self.learning_rate:g}',
            'teacher epochs': str(self.teacher_epochs),
        }
        return [f'  {name}: {value}, {self.reasons[name]}' for name, value in values.items()]


def choose(
    images: ImageList,
    teacher: PretrainedClassifier,
    student: str,
    width: int,
    size: int | None = None,
    method: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    teacher_epochs: int | None = None,
) -> TransferPlan:
    """Choose what is not given.

    Args:
        images, teacher, student, size, method, epochs, batch_size, teacher_epochs: See
            :class:`TransferPlan`.
        width (int): Of the student's last feature; 0 for a swapped teacher.

    Raises:
        UserError: A swapped student of another size than its teacher; a Swin and a student without
            stages; a number below 1.
    """
    for name, value in {'size': size, 'epochs': epochs, 'batch-size': batch_size}.items():
        if value is not None and value < 1:
            raise UserError(f'--{name} {value}: it is at least 1.')
    if teacher_epochs is not None and teacher_epochs < 0:
        raise UserError(f'--teacher-epochs {teacher_epochs}: it is at least 0.')
    given = 'as you chose'
    swapped = student.lower() == SWAP
    own_size = teacher.img_size[0]
    if swapped and size not in (None, own_size):
        raise UserError(
            f'--size {size}, but a swapped student has the positions of its teacher: leave it out '
            f'({own_size}).'
        )
    stages = teacher.model['backbone']['type'] == 'SwinTransformer'
    if stages and not swapped and student.lower().partition('-')[0] not in HIERARCHICAL:
        raise UserError(
            f'{teacher.source} is a Swin, whose stages have four widths, and {student} has one: '
            'choose a vmamba as --student, or swap.'
        )
    count = len(images.of_split('train'))
    batch = batch_size or min(BATCH_SIZE, count)
    if batch > count:
        raise UserError(f'--batch-size {batch} exceeds the {count} images to train on.')
    per_epoch = max(count // batch, 1)
    same = _same_classes(images, teacher)
    heads = 0 if same else max(ceil(TEACHER_STEPS / per_epoch), 1)
    if teacher_epochs is not None:
        if not same and not teacher_epochs:
            raise UserError(
                f"--teacher-epochs 0, but the teacher's classes are not those of {images.source}: "
                'its head has to be trained.'
            )
        heads = teacher_epochs
    wide = swapped or width >= WIDE
    reasons = {
        'size': given if size else "the teacher's",
        'method': given
        if method
        else (
            'mixers are aligned first: they replace attention one by one'
            if swapped
            else 'subcloning, then distillation of layers, directions and logits'
        ),
        'batch size': given if batch_size else 'small batches suit small data',
        'epochs': given if epochs else f'at least {LEAST_STEPS} steps',
        'learning rate': 'of AdamW, with warm-up and cosine; half of it if the loss jumps',
        'teacher epochs': given
        if teacher_epochs is not None
        else ('its classes are yours' if same else 'its head learns your classes first'),
    }
    return TransferPlan(
        images=images,
        teacher=teacher,
        student=student,
        size=size or own_size,
        method=method or ('staged' if swapped else 'wsab'),
        batch_size=batch,
        epochs=epochs or min(max(ceil(LEAST_STEPS / per_epoch), 10), MOST_EPOCHS),
        teacher_epochs=heads,
        learning_rate=5e-4 if wide else 2e-3,
        reasons=reasons,
    )


def _same_classes(images: ImageList, teacher: PretrainedClassifier) -> bool:
    names = teacher.images.classes
    return names is not None and list(names) == images.classes
