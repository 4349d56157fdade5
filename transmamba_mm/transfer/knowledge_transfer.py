"""The algorithm: a student trained beside a frozen teacher."""

from collections.abc import Sequence
from typing import Any

from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.registry import DISTILLERS, MODELS, build_in_scope
from transmamba_mm.transfer.calibration import calibrate
from transmamba_mm.transfer.features.feature_reader import FeatureReader
from transmamba_mm.transfer.features.features import MODEL_KINDS, FeatureKind, class_labels
from transmamba_mm.transfer.features.masking import mask_images
from transmamba_mm.transfer.features.mixer_runs import run_mixers
from transmamba_mm.transfer.features.model_match import ModelMatch
from transmamba_mm.transfer.stage_plan import StagePlan
from transmamba_mm.transfer.subcloning.by_tower import build_subcloning, subclone_towers
from transmamba_mm.transfer.subcloning.report import TransferReport
from transmamba_mm.transfer.teacher import FrozenTeacher
from transmamba_mm.transfer_checkpoint import STUDENT


@MODELS.register_module()
class KnowledgeTransfer(BaseModel):
    """Transfer a teacher's knowledge to a student (TransMamba, arXiv 2502.15130).

    Subcloning happens in :meth:`init_weights`: the teacher's weights are loaded and subcloned into
    the student. Distillation is ``mode='loss'``, in one stage or several: the frozen teacher and
    the student run once each on the same augmented and mixed images, and the distiller's losses are
    added to the student's. ``predict`` and ``tensor`` are the student's own, and need neither the
    teacher's weights nor its time.

    The teacher is no submodule (see :class:`FrozenTeacher`): checkpoints hold the student below
    ``student.`` and the projectors below ``distiller.``, nothing else.

    Args:
        student (dict | nn.Module): A classifier such as mmpretrain's ``ImageClassifier``, or a
            :class:`~transmamba_mm.models.towers.ModelView` such as ``MambaVQA``. Images are
            prepared by its own ``data_preprocessor``.
        teacher (dict | FrozenTeacher): Arguments of :class:`FrozenTeacher`.
        distiller (dict): Built through ``DISTILLERS``, with the :class:`ModelMatch` as ``match``.
        layer_map (str | dict | list): See :class:`LayerMap`. Of models with several towers, a dict
            may name the towers to compare, with a layer map each.
        subcloning (dict, optional): The start of the weights, built through ``MODELS``; follows
            the same layer map unless it has its own. Of models with several towers, a dict of one
            for each tower that is to be cloned, and ``logit_scale=True`` where both scale
            similarities. None: the student keeps its own initialization.
            ``CalibrationHook`` measures what its ``calibration`` needs, before the first step.
        stages (Sequence[dict], optional): Parts of the training, see
            :class:`~transmamba_mm.transfer.stages.Stage`; ``StageHook`` enters them. By default all
            of the student is trained, by the losses of ``distiller``.
        data_preprocessor (dict, optional): Given to a student config that has none.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Attributes:
        transfer_report (TransferReport | None): What subcloning did to every parameter of the
            student.
        plan (StagePlan): The stages.

    An export (the student alone) can be loaded, too. A student with randomly initialized parts
    refuses to predict: mmengine and mmpretrain only log what a checkpoint lacks.

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
        stages: Sequence[dict] | None = None,
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
        models = self.student, self.teacher.model
        self.match = ModelMatch.of(*models, layer_map)
        self.distiller = build_in_scope(DISTILLERS, {**distiller, 'match': self.match})
        kinds = self.distiller.student_kinds, self.distiller.teacher_kinds
        self.reader = FeatureReader(*models, self.match, *kinds)
        self.reader.check_sizes(*models, self.teacher.img_size)
        self.plan = StagePlan(stages or (), self.student, self.match)
        self._readers: dict[tuple, FeatureReader] = {}
        for own in self.plan.values():
            self._reader_of(own).check_sizes(*models, self.teacher.img_size)
        if self.teacher.cache is not None:
            for own in (self.distiller, *self.plan.values()):
                self.teacher.cache.check(own, self.match, self.teacher.description())
        self.subcloning = build_subcloning(subcloning, layer_map, *models)
        self.transfer_report: TransferReport | None = None
        self._random = list(model.state_dict()) if isinstance(student, dict) else []
        self._load_errors: list[str] = []
        self._uncalibrated = False
        self._register_load_state_dict_pre_hook(self._take_export)
        self.register_load_state_dict_post_hook(_note_random)

    def init_weights(self) -> None:
        """Load the teacher, initialize the student, subclone into it.

        Like any module's, the weights of the student are only touched by the first call.
        """
        cached = self.teacher.cache is not None
        if not cached or (self.subcloning and not self.is_init):
            self.teacher.load()
        if self.is_init:
            return
        super().init_weights()
        self._random = []
        compares_layers = bool(self.distiller.student_kinds - MODEL_KINDS)
        if compares_layers or self.subcloning:
            for tower in self.match.towers:
                MMLogger.get_current_instance().info(tower.description)
        self.transfer_report = subclone_towers(self.subcloning, self.student, self.teacher.model)
        self._uncalibrated = any(part.calibration for part in self.subcloning.values())
        if cached and not self._uncalibrated:
            self.teacher.release()

    def calibrate(self, images: Tensor) -> list[str]:
        """Calibrate the towers whose subcloning asks for it; see ``transfer.calibration``.

        Args:
            images (Tensor): (B, C, H, W), or clips, as ``data_preprocessor`` makes them for tests.

        Returns:
            list[str]: What was measured, a line for each layer.
        """
        self.teacher.model.to(images.device)
        inputs = images, self.teacher.preprocess(images, self.data_preprocessor)
        lines = []
        for name, part in self.subcloning.items():
            if part.calibration:
                lines += calibrate(part, self.student, self.teacher.model, name, inputs)
        self._uncalibrated = False
        if self.teacher.cache is not None:
            self.teacher.release()
        return lines

    @property
    def needs_calibration(self) -> bool:
        """Whether a calibration is left to do: never of weights that were loaded."""
        return self._uncalibrated

    def enter_stage(self, index: int) -> None:
        """Train the parameters of a stage with its losses; everything else is frozen."""
        self.plan.enter(index, self.student, self.distiller)

    @property
    def backbone(self) -> nn.Module:
        """The student's: for tools that take a classifier, a transfer is its student."""
        return self.student.backbone

    def extract_feat(self, inputs: Tensor, **kwargs: Any) -> Any:
        """Return the student's features; see its ``extract_feat``."""
        return self.student.extract_feat(inputs, **kwargs)

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning rates; projectors count as the last."""
        return self.student.get_layer_depth(param_name.removeprefix('student.'))

    def forward(
        self,
        inputs: Tensor | None = None,
        data_samples: list | None = None,
        mode: str = 'tensor',
        images: Tensor | None = None,
    ):
        """Train with ``mode='loss'``; any other mode is the student's own.

        Args:
            inputs (Tensor): Images (B, C, H, W), or clips (B, C, T, H, W), as the student's
                ``data_preprocessor`` made them. A teacher of images takes a clip frame by frame.
            data_samples (list, optional): Annotations, one per image.
            mode (str): 'loss', 'predict' or 'tensor'.
            images (Tensor, optional): The inputs, as mmpretrain's preprocessor for multi-modal
                models calls them.

        Returns:
            For 'loss' a dict: the student's losses as ``task_<key>``, scaled by the distiller's
            ``task_weight``, its other outputs under their own keys, and the distiller's, with its
            ``feature_weight`` if it has a ``feature_end``.
        """
        inputs = images if inputs is None else inputs
        if inputs is None:
            raise UserError('The batch has no images: the pipeline has to pack them as inputs.')
        if mode == 'predict' and self._random:
            raise UserError(
                f'{len(self._random)} tensors of the student are random ({self._random[0]}, ...), '
                'so it cannot predict: load a checkpoint or an export of this transfer, with its '
                'training config.'
            )
        if mode != 'loss':
            return self.student(inputs, data_samples, mode=mode)
        if self._uncalibrated:
            raise UserError(
                'subcloning.calibration was not done: add '
                "dict(type='transmamba_mm.CalibrationHook') to custom_hooks, or call calibrate."
            )
        distiller = self.plan.distiller(self.distiller)
        distiller.progress = self.plan.progress()
        reader = self._reader_of(distiller)
        models = self.student, self.teacher.model
        cache, size = self.teacher.cache, tuple(inputs.shape[2:])
        if cache is not None:
            kinds, layers = distiller.teacher_kinds, reader.match.layers
            teacher = cache.read(inputs, data_samples or (), kinds, layers)
        else:
            seen = self.teacher.preprocess(inputs, self.data_preprocessor)
            with reader.teacher.recorder.record(self.teacher.model) as theirs:
                if reader.teacher.recorder.outputs or reader.teacher.recorder.inputs:
                    self.teacher(seen, data_samples)
            if distiller.runs_mixers:
                size, tokens = tuple(seen.shape[2:]), reader.teacher.tokens(models[1], theirs)
                return distiller(*run_mixers(*models, reader.match, theirs, size, tokens))
        if distiller.mask_ratio and distiller.compared_layers:
            inputs = mask_images(self.student, inputs, distiller.mask_ratio)
        with reader.student.recorder.record(self.student) as ours:
            losses = self.student(inputs, data_samples, mode='loss')
        ours.check_graph()
        if cache is not None:
            student = reader.student.read(self.student, ours, size)
        else:
            sizes = size, tuple(seen.shape[2:])
            student, teacher = reader.read(models, (ours, theirs), sizes)
        if FeatureKind.LABELS in distiller.student_kinds:
            student.labels = class_labels(data_samples)
        outputs = _scale_task(losses, distiller.task_weight) | distiller(student, teacher)
        if distiller.feature_end is not None:
            outputs['feature_weight'] = inputs.new_tensor(distiller.feature_weight)
        return outputs

    def _reader_of(self, distiller: Any) -> FeatureReader:
        """The reader of the features that a distiller compares in this step."""
        layers = distiller.compared_layers
        if distiller is self.distiller and layers == tuple(range(len(self.match.layers))):
            return self.reader
        key = distiller.student_kinds, distiller.teacher_kinds, layers
        if key not in self._readers:
            match = self.match.of_layers(layers)
            self._readers[key] = FeatureReader(self.student, self.teacher.model, match, *key[:2])
        return self._readers[key]

    def _take_export(self, state_dict: dict, prefix: str, *others: Any) -> None:
        """Before loading: give the student's own names, as an export has them, their place here."""
        self._load_errors = others[-1]
        if any(key.startswith(prefix + STUDENT) for key in state_dict):
            return
        for key in self.student.state_dict():
            if prefix + key in state_dict:
                state_dict[prefix + STUDENT + key] = state_dict.pop(prefix + key)


def _scale_task(losses: dict, weight: float) -> dict:
    """Scale the student's losses; mmengine keeps the bare key 'loss' for the sum of all."""
    scaled = {}
    for key, value in losses.items():
        if 'loss' not in key:
            scaled[key] = value
        elif isinstance(value, Tensor):
            scaled[f'task_{key}'] = weight * value
        else:
            scaled[f'task_{key}'] = [weight * part for part in value]
    return scaled


def _note_random(model: KnowledgeTransfer, incompatible: Any) -> None:
    """After loading: remember what neither this nor the beginning of a training has set."""
    errors = '\n'.join(model._load_errors)  # shapes that differ are not among the missing keys
    missing = {key.rpartition(STUDENT)[2] for key in incompatible.missing_keys}
    model._random = [
        key for key in model._random if key in missing or f'{STUDENT}{key}: copying' in errors
    ]
    model._load_errors = []
    model._uncalibrated = False
