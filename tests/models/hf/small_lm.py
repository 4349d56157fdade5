"""Small language models of ours and of transformers with the same weights."""

import torch
from torch import nn
from transformers import MambaConfig, MambaForCausalLM
from transformers.cache_utils import Cache

from transmamba_mm.models.hf import MambaLM
from transmamba_mm.models.hf.mamba_cache import KEYWORD

SIZES = {
    'vocab_size': 53,
    'hidden_size': 24,
    'state_size': 5,
    'num_hidden_layers': 3,
    'eos_token_id': None,
}
PAD = 0


def lively(model: nn.Module) -> None:
    """Random numbers everywhere: biases of 0 and equal decays would hide mistakes."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith(('A_log', 'dt_proj.bias')):
                parameter.add_(0.3 * torch.randn_like(parameter))


def pair(dtype=torch.float32, **config) -> tuple[MambaLM, MambaForCausalLM]:
    """Ours and transformers' own, in eval mode."""
    torch.manual_seed(0)
    config = MambaConfig(**{**SIZES, **config})
    theirs = MambaForCausalLM(config).eval()
    lively(theirs)
    ours = MambaLM(config).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours.to(dtype), theirs.to(dtype)


def ours_alone(dtype=torch.float32, **config) -> MambaLM:
    """Ours in eval mode, also with what transformers does not have."""
    torch.manual_seed(0)
    model = MambaLM({**SIZES, **config}).eval()
    lively(model)
    return model.to(dtype)


def cache_of(output) -> Cache:
    """The cache of an output, by the name that this transformers has for it."""
    return output[KEYWORD]


def tokens(batch: int = 2, length: int = 7, seed: int = 1) -> torch.Tensor:
    """Random tokens (B, L), none of them the padding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, SIZES['vocab_size'], (batch, length), generator=generator)


def pad_left(sequences: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and attention mask (B, L) of sequences (n,) of different lengths."""
    length = max(map(len, sequences))
    ids = torch.full((len(sequences), length), PAD)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, length - len(sequence) :] = sequence
        mask[row, length - len(sequence) :] = 1
    return ids, mask
