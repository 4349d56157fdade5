"""The algorithm: a student trained beside a frozen teacher."""

from typing import Any

from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.teachers import token_layout
from transmamba_mm.registry import DISTILLERS, MODELS
from transmamba_mm.transfer.feature_recorder import FeatureRecorder
from transmamba_mm.transfer.layer_map import LayerMap
from transmamba_mm.transfer.layer_names import count_stages
from transmamba_mm.transfer.record import LayerPair, RecordReader, TransferRecord
from transmamba_mm.transfer.teacher import FrozenTeacher


@MODELS.register_module()
class KnowledgeTransfer(BaseModel):
    """Transfer a teacher's knowledge to a student (TransMamba, arXiv 2502.15130).

    Stage 1 happens in :meth:`init_weights`: the teacher's weights are loaded and subcloned into the
    student. Stage 2 is ``mode='loss'``: the frozen teacher and the student see the same augmented
    and mixed images, once each, and the distiller's losses are added to the student's. ``predict``
    and ``tensor`` are the student's own, and need neither the teacher's weights nor its time.

    The teacher is no submodule (see :class:`FrozenTeacher`): checkpoints hold the student below
    ``student.`` and the projectors below ``distiller.``, nothing else.

    Args:
        student (dict | nn.Module): A model with a ``backbone`` and, for logits, a ``head``, such as
            mmpretrain's ``ImageClassifier``. Images are prepared by its own ``data_preprocessor``.
        teacher (dict | FrozenTeacher): Arguments of :class:`FrozenTeacher`.
        distiller (dict): Built through ``DISTILLERS``, which adds the matched layers.
        layer_map (str | dict | list): See :class:`LayerMap`.
        subcloning (dict, optional): Stage 1, built through ``MODELS``; follows the same layer map
            unless it has its own. None: the student keeps its own initialization.
        data_preprocessor (dict, optional): Given to a student config that has none.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Attributes:
        transfer_report (TransferReport | None): What stage 1 did to every parameter of the student.

    Raises:
        UserError: Anything that does not fit together: layers, widths, classes, image sizes.
    """

    def __init__(
        self,
        student: dict | nn.Module,
        teacher: dict | FrozenTeacher,
        distiller: dict,
        layer_map: str | dict | list = 'uniform',
        subcloning: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        model: Any = student
        if isinstance(student, dict):
            if data_preprocessor is not None:
                student = {'data_preprocessor': dict(data_preprocessor), **student}
            model = MODELS.build(student)
        super().__init__(model.data_preprocessor, init_cfg)
        self.student = model
        self.teacher = teacher if isinstance(teacher, FrozenTeacher) else FrozenTeacher(**teacher)
        self.layer_map = LayerMap.from_config(layer_map)

        pairs = self._match_layers()
        self.distiller = DISTILLERS.build({**distiller, 'pairs': pairs})
        self._student_reader = RecordReader(
            self.student,
            [pair.student for pair in pairs],
            features=self.distiller.uses_layers,
            directions=self.distiller.uses_directions,
            logits=self.distiller.uses_logits,
        )
        self._teacher_reader = RecordReader(
            self.teacher.model,
            [pair.teacher for pair in pairs],
            features=self.distiller.uses_features,
            logits=self.distiller.uses_logits,
        )
        self._check_wiring()
        self.subcloning = None
        if subcloning is not None:
            self.subcloning = MODELS.build({'layer_map': layer_map, **subcloning})
        self.transfer_report = None

    def _match_layers(self) -> list[LayerPair]:
        student = token_layout(self.student.backbone)
        teacher = token_layout(self.teacher.model.backbone)
        student_dims, teacher_dims = student.layer_dims(), teacher.layer_dims()
        num_directions = len(student.directions((2, 2))) if hasattr(student, 'directions') else 0
        return [
            LayerPair(i, j, student_dims[i], teacher_dims[j], num_directions)
            for i, j in self.layer_map.pairs(*self._stage_depths())
        ]

    def _stage_depths(self) -> list[list[int]]:
        """Layers in each stage, of the student and of the teacher."""
        backbones = (self.student.backbone, self.teacher.model.backbone)
        return [count_stages(token_layout(backbone).layer_paths()) for backbone in backbones]

    def _check_wiring(self) -> None:
        """Fail when the model is built, not in the first step."""
        FeatureRecorder(self.student, self._student_reader.paths)
        FeatureRecorder(self.teacher.model, self._teacher_reader.paths)
        size = getattr(self.student.backbone, 'img_size', None)
        if self.distiller.uses_features and size is not None:
            token_layout(self.student.backbone).layer_grids(size)
            token_layout(self.teacher.model.backbone).layer_grids(self.teacher.img_size or size)
        if self.distiller.uses_logits:
            self._check_classes()

    def _check_classes(self) -> None:
        heads = (self.student.head, self.teacher.model.head)
        classes = [head.num_classes for head in heads if hasattr(head, 'num_classes')]
        if len(set(classes)) > 1:
            raise UserError(
                f'The student has {classes[0]} classes and the teacher {classes[1]}: their logits '
                'do not compare. Use a teacher of the same classes, or a distiller without a '
                'logits term (logits_weight=0).'
            )

    def init_weights(self) -> None:
        """Load the teacher, initialize the student, subclone into it (stage 1).

        Like any module's, the weights of the student are only touched by the first call.
        """
        self.teacher.load()
        if self.is_init:
            return
        super().init_weights()
        if self.distiller.uses_features or self.subcloning is not None:
            MMLogger.get_current_instance().info(self.layer_map.describe(*self._stage_depths()))
        if self.subcloning is not None:
            self.transfer_report = self.subcloning.apply(self.student, self.teacher.model)

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning rates; projectors count as the last."""
        return self.student.get_layer_depth(param_name.removeprefix('student.'))

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """Train with ``mode='loss'``; any other mode is the student's own.

        Args:
            inputs (Tensor): Images (B, C, H, W), or clips (B, C, T, H, W), as the student's
                ``data_preprocessor`` made them. A teacher of images sees a clip frame by frame.
            data_samples (list, optional): Annotations, one per image.
            mode (str): 'loss', 'predict' or 'tensor'.

        Returns:
            For 'loss' a dict: the student's losses as ``task_<key>``, scaled by the distiller's
            ``task_weight``, its other outputs under their own keys, and the distiller's.
        """
        if mode != 'loss':
            return self.student(inputs, data_samples, mode=mode)
        teacher = self._record_teacher(inputs, data_samples)
        recorder = FeatureRecorder(self.student, self._student_reader.paths)
        with recorder:
            losses = self.student(inputs, data_samples, mode='loss')
        student = self._student_reader.read(recorder, self.student.backbone, _image_size(inputs))
        return self._scale_task(losses) | self.distiller(student, teacher)

    def _record_teacher(self, inputs: Tensor, data_samples: list | None) -> TransferRecord:
        images = self.teacher.see(inputs, self.data_preprocessor)
        recorder = FeatureRecorder(self.teacher.model, self._teacher_reader.paths)
        with recorder:
            self.teacher(images, data_samples)
        return self._teacher_reader.read(recorder, self.teacher.model.backbone, _image_size(images))

    def _scale_task(self, losses: dict) -> dict:
        """Scale the student's losses; mmengine keeps the bare key 'loss' for the sum of all."""
        weight = self.distiller.task_weight
        scaled = {}
        for key, value in losses.items():
            if 'loss' not in key:
                scaled[key] = value
            elif isinstance(value, Tensor):
                scaled[f'task_{key}'] = weight * value
            else:
                scaled[f'task_{key}'] = [weight * part for part in value]
        return scaled


def _image_size(images: Tensor) -> tuple[int, ...]:
    """(height, width), of clips (frames, height, width)."""
    return tuple(images.shape[2:])
