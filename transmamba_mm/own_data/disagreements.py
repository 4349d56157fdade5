"""Images on which a student and its teacher disagree."""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor

from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.plots import STYLE, save_figure
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.student import student_config, student_weights
from transmamba_mm.transfer.teacher import FrozenTeacher, load_strict

SHOWN = 16


class Disagreement(NamedTuple):
    """An image (H, W, 1 or 3), 0..1, and the three classes."""

    image: np.ndarray
    label: int
    teacher: int
    student: int


@torch.no_grad()
def find_disagreements(cfg: Config, work_dir: Path) -> tuple[list[Disagreement], int, int]:
    """Compare predictions on the test images of a transfer.

    Args:
        cfg (Config): The transfer.
        work_dir (Path): Its checkpoints.

    Returns:
        tuple[list[Disagreement], int, int]: The first ones, their number, the number of images.
    """
    with DefaultScope.overwrite_default_scope('transmamba_mm'):
        preprocessor = MODELS.build(cfg.data_preprocessor)
        student: Any = MODELS.build(student_config(cfg.model)).eval()
        load_strict(student, student_weights(load_state_dict(work_dir)), str(work_dir))
        teacher = FrozenTeacher(**cfg.model.teacher)
        teacher.load()
        loader = Runner.build_dataloader(cfg.test_dataloader)
    found: list[Disagreement] = []
    count = total = 0
    for batch in loader:
        data = preprocessor(batch)
        images = data['inputs']
        ours = student(images, mode='tensor').argmax(-1)
        theirs = teacher(teacher.preprocess(images, preprocessor)).argmax(-1)
        total += len(images)
        for i in (ours != theirs).nonzero().flatten().tolist():
            count += 1
            if len(found) < SHOWN:
                label = int(data['data_samples'][i].gt_label)
                pixels = _pixels(images[i], preprocessor)
                found.append(Disagreement(pixels, label, int(theirs[i]), int(ours[i])))
    return found, count, total


def plot_disagreements(found: list[Disagreement], classes: list[str], path: Path) -> None:
    """Draw the images with their classes: the label, the teacher's, the student's."""
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    with plt.rc_context({**STYLE, 'axes.grid': False}):
        figure, panels = plt.subplots(
            rows, columns, figsize=(2.6 * columns, 2.9 * rows), squeeze=False
        )
        for axes in panels.flat:
            axes.axis('off')
        for axes, one in zip(panels.flat, found, strict=False):
            axes.imshow(one.image, vmin=0, vmax=1, cmap='gray')
            names = [classes[index][:18] for index in one[1:]]
            axes.set_title(
                f'{names[0]}\nteacher: {names[1]}\nstudent: {names[2]}', fontsize=9, loc='left'
            )
        save_figure(figure, path)


def _pixels(image: Tensor, preprocessor: Any) -> np.ndarray:
    pixels = image.unsqueeze(0) * preprocessor.std + preprocessor.mean
    return (pixels[0] / 255).clamp(0, 1).permute(1, 2, 0).numpy()
