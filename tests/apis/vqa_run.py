"""The work_dir of the small easy-VQA recipe, without the training."""

from pathlib import Path

import torch
from mmengine.config import Config

from transmamba_mm.launch.signed_config import sign_config
from transmamba_mm.registry import MODELS

RECIPE = 'configs/transmamba/mambavqa-nano_llava-nano_easyvqa.py'
SMALL = {
    'model.student.vision.arch.num_layers': 1,
    'model.student.language.config.num_hidden_layers': 1,
}


def write_run(folder: Path) -> Path:
    """Write the config and a checkpoint of the whole transfer."""
    cfg = Config.fromfile(RECIPE)
    cfg.merge_from_dict(SMALL)
    cfg.dump(str(folder / 'recipe.py'))
    sign_config(folder / 'recipe.py')
    torch.manual_seed(0)
    student = MODELS.build({**cfg.model.student, 'data_preprocessor': cfg.data_preprocessor})
    student.init_weights()
    state = {f'student.{key}': value for key, value in student.state_dict().items()}
    torch.save({'state_dict': state}, folder / 'iter_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    return folder
