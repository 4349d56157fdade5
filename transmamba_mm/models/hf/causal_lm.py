"""Language models like Llama, to keep all of a teacher but its attention."""

from pathlib import Path
from typing import Any

import torch

from transmamba_mm.checks import check, one_of
from transmamba_mm.registry import MODELS

#: Value of ``model_type``, and class of transformers.
KINDS = {
    'llama': 'LlamaForCausalLM',
    'mistral': 'MistralForCausalLM',
    'qwen2': 'Qwen2ForCausalLM',
}
DECODER = {'noun': f'one of {", ".join(KINDS)}', 'example': 'HuggingFaceTB/SmolLM2-135M'}


@MODELS.register_module(name='CausalLM')
def build_causal_lm(
    config: dict | None = None,
    checkpoint: str | Path | None = None,
    dtype: str | torch.dtype | None = None,
    weights: bool = True,
) -> Any:
    """Build transformers' ``LlamaForCausalLM``, or that of a Mistral or a Qwen2.

    Args:
        config (dict, optional): Of a new model: the keys of its config class, and ``model_type``,
            by default 'llama'.
        checkpoint (str | Path, optional): Instead, a folder of ``save_pretrained`` or a name on the
            hub; read without running code.
        dtype (str | torch.dtype, optional): By default float32 for a new model, the checkpoint's
            own otherwise.
        weights (bool): False: of ``checkpoint`` only the architecture and the tokenizer are read;
            the weights are about to be loaded from elsewhere.

    Raises:
        UserError: Both or none of ``config`` and ``checkpoint``; unknown keys of ``config``; a
            checkpoint that is missing, incomplete or of another architecture.
    """
    import transformers

    from transmamba_mm.models.hf.model_source import ModelSource
    from transmamba_mm.models.hf.pretrained import generation_config

    kinds = {kind: getattr(transformers, name) for kind, name in KINDS.items()}
    if isinstance(config, dict):
        kind = config.get('model_type', 'llama')
        check('CausalLM', 'config.model_type', kind, one_of(*KINDS))
        kinds = {kind: kinds[kind]}
        config = {key: value for key, value in config.items() if key != 'model_type'}
    source = ModelSource('CausalLM', kinds, config, checkpoint, **DECODER)
    model = source.build(dtype, weights)
    if checkpoint is not None and not weights:
        model.generation_config = generation_config(checkpoint) or model.generation_config
    return model
