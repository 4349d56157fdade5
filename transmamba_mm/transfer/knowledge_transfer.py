"""The algorithm: a student trained beside a frozen teacher."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import Tensor, nn

from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.towers import IMAGES, towers_of
from transmamba_mm.registry import DISTILLERS, MODELS, build_in_scope
from transmamba_mm.transfer.features.features import Features
from transmamba_mm.transfer.features.recorder import FeatureRecorder
from transmamba_mm.transfer.features.token_matching import pick_answers
from transmamba_mm.transfer.features.tower_match import TowerMatch
from transmamba_mm.transfer.layer_map import LayerMap
from transmamba_mm.transfer.teacher import FrozenTeacher
from transmamba_mm.transfer_checkpoint import STUDENT


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
            mmpretrain's ``ImageClassifier``, or with several ``towers``, such as ``MambaVQA``.
            Images are prepared by its own ``data_preprocessor``.
        teacher (dict | FrozenTeacher): Arguments of :class:`FrozenTeacher`.
        distiller (dict): Built through ``DISTILLERS``, which adds the matched layers.
        layer_map (str | dict | list): See :class:`LayerMap`. Of models with several towers, a dict
            may name the towers to compare, with a layer map each.
        subcloning (dict, optional): Stage 1, built through ``MODELS``; follows the same layer map
            unless it has its own. Of models with several towers, a dict of one for each tower that
            is to be cloned. None: the student keeps its own initialization.
        data_preprocessor (dict, optional): Given to a student config that has none.
        init_cfg (dict, optional): See mmengine's ``BaseModule``.

    Attributes:
        transfer_report (TransferReport | None): What stage 1 did to every parameter of the student.

    What an export wrote, the student alone, can be loaded, too. A student of which a part is still
    random predicts nothing: mmengine and mmpretrain only log what a checkpoint lacks.

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
        self.tower_pairs = self._pair_towers(layer_map)
        pairs = [pair for towers in self.tower_pairs for pair in towers.pairs]
        self.distiller = build_in_scope(DISTILLERS, {**distiller, 'pairs': pairs})
        self._check_vocabularies()
        for towers in self.tower_pairs:
            towers.connect(self.student, self.teacher.model, self.distiller)
        self._check_wiring()
        self.subcloning = self._build_subcloning(subcloning, layer_map)
        self.transfer_report = None
        self._random = list(model.state_dict()) if isinstance(student, dict) else []
        self._load_errors: list[str] = []
        self._register_load_state_dict_pre_hook(self._take_export)
        self.register_load_state_dict_post_hook(_note_random)

    def _pair_towers(self, layer_map: Any) -> list[TowerMatch]:
        """The towers that both models have, or those that ``layer_map`` names."""
        student, teacher = towers_of(self.student), towers_of(self.teacher.model)
        names = [name for name in student if name in teacher]
        maps = dict.fromkeys(names, layer_map)
        if _is_by_tower(layer_map):
            if unknown := sorted(set(layer_map) - set(names)):
                raise UserError(
                    f'layer_map names {", ".join(unknown)}, but the towers that student and '
                    f'teacher share are {", ".join(names)}.'
                )
            names, maps = [name for name in names if name in layer_map], layer_map
        if not names:
            raise UserError(
                f'The student has {", ".join(student)} and the teacher {", ".join(teacher)}: '
                'nothing of one is like anything of the other.'
            )
        paired, first = [], 0
        for name in names:
            chosen = LayerMap.from_config(maps[name])
            paired.append(TowerMatch(name, self.student, self.teacher.model, chosen, first))
            first += sum(paired[-1].depths[0])
        return paired

    def _build_subcloning(self, config: dict | None, layer_map: Any) -> dict[str, Any]:
        """Stage 1 of each tower that has one, built."""
        if config is None:
            return {}
        names = list(towers_of(self.student))
        by_tower = config if _is_by_tower(config) else dict.fromkeys(names[:1], config)
        built = {}
        for name, part in by_tower.items():
            if name not in names or name not in towers_of(self.teacher.model):
                raise UserError(
                    f'subcloning is about the tower {name!r}; the student has {", ".join(names)}, '
                    f'the teacher {", ".join(towers_of(self.teacher.model))}.'
                )
            chosen = layer_map.get(name, 'uniform') if _is_by_tower(layer_map) else layer_map
            built[name] = MODELS.build({'layer_map': chosen, **part})
        return built

    def _check_vocabularies(self) -> None:
        """Logits over different words do not compare: leave them out, and say so."""
        words = [getattr(model, 'vocabulary', None) for model in (self.student, self.teacher.model)]
        if not self.distiller.uses_logits or words[0] == words[1]:
            return
        shared = len(set(words[0] or ()) & set(words[1] or ()))
        self.distiller.uses_logits = False
        if not self.distiller.uses_features:
            raise UserError(
                'Student and teacher have different vocabularies, so there are no logits to '
                'compare, and this distiller compares nothing else: use WSAB, or a student with '
                "the teacher's tokenizer."
            )
        MMLogger.get_current_instance().info(
            f'The vocabularies differ ({len(words[0] or ())} and {len(words[1] or ())} tokens, '
            f'{shared} in common): the logits are not distilled.'
        )

    def _paths(self, model: nn.Module, side: str) -> list[str]:
        """Modules to record: the towers' layers, and what says how to read them."""
        paths = [path for pair in self.tower_pairs for path in getattr(pair, side).paths]
        if hasattr(model, 'towers'):
            logits = [model.logits_path] if self.distiller.uses_logits else []
            paths += [*logits, model.embedder_path]
        return list(dict.fromkeys(paths))

    def _check_wiring(self) -> None:
        """Fail when the model is built, not in the first step."""
        FeatureRecorder(self.student, self._paths(self.student, 'student'))
        FeatureRecorder(self.teacher.model, self._paths(self.teacher.model, 'teacher'))
        for pair in self.tower_pairs:
            ours = towers_of(self.student)[pair.name].backbone
            theirs = towers_of(self.teacher.model)[pair.name].backbone
            size = getattr(ours, 'img_size', None)
            if pair.reads == IMAGES and self.distiller.uses_features and size is not None:
                layout_of(ours).layer_grids(size)
                layout_of(theirs).layer_grids(self.teacher.img_size or size)
        if self.distiller.uses_logits and not hasattr(self.student, 'towers'):
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
        self._random = []
        if self.distiller.uses_features or self.subcloning:
            for pair in self.tower_pairs:
                MMLogger.get_current_instance().info(pair.describe())
        for name, subcloning in self.subcloning.items():
            self._subclone(name, subcloning)

    def _subclone(self, name: str, subcloning: Any) -> None:
        """Stage 1 of one tower."""
        try:
            report = subcloning.apply(self.student, self.teacher.model, name)
        except UserError as error:
            raise UserError(f'subcloning.{name}: {error}') from error
        before = self.transfer_report
        self.transfer_report = report if before is None else before.joined(report)

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
                ``data_preprocessor`` made them. A teacher of images sees a clip frame by frame.
            data_samples (list, optional): Annotations, one per image.
            mode (str): 'loss', 'predict' or 'tensor'.
            images (Tensor, optional): The inputs, as mmpretrain's preprocessor for multi-modal
                models calls them.

        Returns:
            For 'loss' a dict: the student's losses as ``task_<key>``, scaled by the distiller's
            ``task_weight``, its other outputs under their own keys, and the distiller's.
        """
        inputs = images if inputs is None else inputs
        if inputs is None:
            raise UserError('The batch has no images: the pipeline has to pack them as inputs.')
        if mode == 'predict' and self._random:
            raise UserError(
                f'{len(self._random)} tensors of the student are random ({self._random[0]}, ...), '
                'so it cannot predict: load a checkpoint of this transfer, or the export of it, '
                'with the config that it was trained by.'
            )
        if mode != 'loss':
            return self.student(inputs, data_samples, mode=mode)
        images = self.teacher.preprocess(inputs, self.data_preprocessor)
        models = self.student, self.teacher.model
        theirs = FeatureRecorder(models[1], self._paths(models[1], 'teacher'))
        with theirs:
            self.teacher(images, data_samples)
        ours = FeatureRecorder(models[0], self._paths(models[0], 'student'))
        with ours:
            losses = self.student(inputs, data_samples, mode='loss')
        ours.check_graph()
        sizes = _image_size(inputs), _image_size(images)
        records = [pair.read(models, (ours, theirs), sizes) for pair in self.tower_pairs]
        student, teacher = (Features.joined(side) for side in zip(*records, strict=True))
        if self.distiller.uses_logits and hasattr(self.student, 'towers'):
            student.logits, teacher.logits = self._read_logits(models, (ours, theirs))
        return self._scale_task(losses) | self.distiller(student, teacher)

    def _take_export(self, state_dict: dict, prefix: str, *others: Any) -> None:
        """Before loading: give the student's own names, as an export has them, their place here."""
        self._load_errors = others[-1]
        if any(key.startswith(prefix + STUDENT) for key in state_dict):
            return
        for key in self.student.state_dict():
            if prefix + key in state_dict:
                state_dict[prefix + STUDENT + key] = state_dict.pop(prefix + key)

    def _read_logits(self, models: Any, outputs: Any) -> tuple[Tensor, Tensor]:
        """What both models say at the same places, over the words or videos that both have."""
        both = []
        for model, out in zip(models, outputs, strict=True):
            logits = out[model.logits_path]
            if logits.dim() == 3:
                logits = pick_answers(logits, out[model.embedder_path])
            elif getattr(model, 'compares_both_ways', False):
                logits = torch.cat([logits, logits.T])
            both.append(logits)
        words = min(logits.shape[-1] for logits in both)
        return both[0][:, :words], both[1][:, :words]

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


def _note_random(model: KnowledgeTransfer, incompatible: Any) -> None:
    """After loading: remember what neither this nor the beginning of a training has set."""
    errors = '\n'.join(model._load_errors)  # shapes that differ are not among the missing keys
    missing = {key.rpartition(STUDENT)[2] for key in incompatible.missing_keys}
    model._random = [
        key for key in model._random if key in missing or f'{STUDENT}{key}: copying' in errors
    ]
    model._load_errors = []


def _is_by_tower(config: Any) -> bool:
    """Whether a config holds one config for each tower, by name."""
    return isinstance(config, Mapping) and not {'kind', 'n', 'type'} & set(config)


def _image_size(images: Tensor) -> tuple[int, ...]:
    """(height, width), of clips (frames, height, width)."""
    return tuple(images.shape[2:])
