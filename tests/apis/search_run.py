"""The work_dir of a trained retriever, for the tests that search with it."""

from pathlib import Path

import torch
from mmengine.config import Config

from tests.models.retrieval.small_retrieval import MAMBA_LM, VIM, WORDS
from transmamba_mm.launch.signed_config import sign_config
from transmamba_mm.registry import MODELS

MODEL = {
    'type': 'VideoTextRetriever',
    **{'vision': VIM, 'text': MAMBA_LM, 'embed_dims': 10},
    'tokenizer': {'type': 'WordTokenizer', 'words': WORDS},
}
PREPROCESSOR = {'type': 'VideoDataPreprocessor', 'mean': [120.0] * 3, 'std': [60.0] * 3}
PIPELINE = [
    {'type': 'LoadSomethingElse'},
    {'type': 'DecodeVideo', 'num_frames': 4, 'size': 8, 'on_bad': 'mark'},
    {'type': 'CenterCropClip', 'size': 8},
    {'type': 'PackClip'},
]


def write_run(folder: Path, seed: int = 0, pipeline: list | None = None, **changes) -> Path:
    """Write a config and a checkpoint as a training does; return the folder, which is made."""
    folder.mkdir()
    model = {**MODEL, **changes}
    Config(
        {
            'default_scope': 'transmamba_mm',
            'model': model,
            'data_preprocessor': PREPROCESSOR,
            'test_dataloader': {'dataset': {'pipeline': pipeline or PIPELINE}},
        }
    ).dump(str(folder / 'recipe.py'))
    sign_config(folder / 'recipe.py')
    torch.manual_seed(seed)
    built = MODELS.build({**model, 'data_preprocessor': PREPROCESSOR})
    built.init_weights()
    torch.save({'state_dict': built.state_dict()}, folder / 'iter_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    return folder
