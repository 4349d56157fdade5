"""Compare the layers of trained students with their teacher's, from a config and checkpoints."""

from collections.abc import Mapping

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.errors import UserError
from transmamba_mm.evaluation.similarity import layer_similarity, record_layers
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.student import student_config, student_weights
from transmamba_mm.transfer.teacher import FrozenTeacher, load_strict


def compare_layers(
    cfg: Config, checkpoints: Mapping[str, str], max_images: int = 360
) -> dict[str, np.ndarray]:
    """Linear CKA of every student layer with every teacher layer, on images of the test set.

    Args:
        cfg (Config): A transfer: its student, its teacher and its ``test_dataloader`` are used.
        checkpoints (Mapping[str, str]): Title -> checkpoint or work_dir, of a transfer or of the
            student alone, all of them of the config's student.
        max_images (int): Images to compare on; at most one batch of the loader.

    Returns:
        dict[str, ndarray]: Title -> (student layers, teacher layers).

    Raises:
        UserError: If the config has no teacher or no test set, or a checkpoint does not fit.
    """
    if 'teacher' not in cfg.model:
        raise UserError(f'{cfg.filename} has no teacher: pass a config of configs/transmamba/.')
    if cfg.get('test_dataloader') is None:
        raise UserError(
            f'{cfg.filename} has no test_dataloader, which gives the images to compare layers on: '
            'add one, such as test_dataloader=val_dataloader.'
        )
    init_default_scope(cfg.get('default_scope', 'transmamba_mm'))
    preprocessor = MODELS.build(cfg.data_preprocessor)
    batch = next(iter(Runner.build_dataloader(cfg.test_dataloader)))
    images = preprocessor(batch)['inputs'][:max_images]

    teacher = FrozenTeacher(**cfg.model.teacher)
    teacher.load()
    reference = record_layers(teacher.model, teacher.preprocess(images, preprocessor))
    similarities = {}
    for title, checkpoint in checkpoints.items():
        student = MODELS.build(student_config(cfg.model))
        load_strict(student, student_weights(load_state_dict(checkpoint)), str(checkpoint))
        similarity = layer_similarity(record_layers(student, images), reference)
        similarities[title] = similarity.numpy()
    return similarities
