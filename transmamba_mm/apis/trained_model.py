"""A trained model, ready to be used, out of what a training left."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope

from transmamba_mm.apis.runtime import prepare_runtime
from transmamba_mm.apis.student import student_weights, trained_student_config
from transmamba_mm.apis.vqa import find_config
from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.teacher import load_exactly


def load_trained(
    checkpoint: str, config: str | None = None, device: str | None = None
) -> tuple[Any, Config]:
    """Build the model of a config and load its weights; of a transfer, the student's.

    Args:
        checkpoint (str): A file, a work_dir or a URL; a transfer's or an exported student's.
        config (str, optional): By default the one that training left beside the checkpoint.
        device (str, optional): By default the fastest there is.

    Returns:
        tuple[nn.Module, Config]: The model in eval, and the config, whose ``model`` is the
        student's.

    Raises:
        UserError: No config, no checkpoint, or one that does not fit it.
    """
    cfg = Config.fromfile(config or find_config(checkpoint))
    prepare_runtime(cfg)
    init_default_scope(cfg.get('default_scope', 'transmamba_mm'))
    cfg.model = trained_student_config(cfg.model, checkpoint)
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    model: Any = MODELS.build(cfg.model)
    load_exactly(model, student_weights(load_state_dict(checkpoint)), str(checkpoint))
    return model.eval().to(torch.device(device or get_device())), cfg
