"""Small retrieval models, and clips and captions for them."""

import json
from pathlib import Path

import torch
from mmpretrain.structures import DataSample
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPTokenizerFast, PreTrainedTokenizerFast

from transmamba_mm.registry import MODELS, TOKENIZERS

WORDS = [
    *('a', 'b', 'the', 'digit', 'one', 'two', 'seven', 'moves', 'then'),
    *('left', 'right', 'up', 'down', '.'),
]
CAPTIONS = ['a seven moves left , then up', 'the digit one moves', 'a two', '']
SIDE = 8

TRANSFORMER = {
    'hidden_size': 16,
    'intermediate_size': 24,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
}
CLIP_VISION = {**TRANSFORMER, 'image_size': SIDE, 'patch_size': 4}
CLIP_TEXT = {
    **TRANSFORMER,
    **{'hidden_size': 12, 'vocab_size': 24, 'max_position_embeddings': 12},
    **{'bos_token_id': None, 'eos_token_id': 1, 'pad_token_id': 0},
}
CLIP = {'projection_dim': 10, 'vision_config': CLIP_VISION, 'text_config': CLIP_TEXT}

SIZES = {'embed_dims': 16, 'num_layers': 2, 'state_dims': 4}
VIM = {'type': 'Vim', 'arch': SIZES, 'img_size': SIDE, 'patch_size': 4}
VIDEO_MAMBA = {**VIM, 'type': 'VideoMamba', 'num_frames': 4}
VMAMBA = {'type': 'VMamba', 'arch': 'nano', 'patch_size': 2, 'out_type': 'featmap'}
MAMBA_LM = {
    'type': 'MambaLM',
    'config': {'vocab_size': 24, 'hidden_size': 12, 'num_hidden_layers': 2, 'state_size': 4},
}
CLIP_TEXT_TOWER = {'type': 'ClipText', 'config': CLIP_TEXT}


def word_tokenizer():
    return TOKENIZERS.build({'type': 'WordTokenizer', 'words': WORDS})


def start_and_end_tokenizer():
    """Whole words between a start and an end, as CLIP's tokenizer has them."""
    names = ['<unk>', '<s>', '</s>']
    core = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate([*names, *WORDS])}, unk_token='<unk>')
    )
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single='<s> $A </s>', special_tokens=[('<s>', 1), ('</s>', 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token='<unk>', bos_token='<s>', eos_token='</s>'
    )


def clip_tokenizer(folder: Path) -> CLIPTokenizerFast:
    """A real CLIP tokenizer of single bytes, from files in their true layout."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    pieces = [*letters, *(f'{letter}</w>' for letter in letters)]
    names = [*pieces, '<|startoftext|>', '<|endoftext|>']
    (folder / 'vocab.json').write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / 'merges.txt').write_text('#version: 0.2\n')
    return CLIPTokenizerFast(str(folder / 'vocab.json'), str(folder / 'merges.txt'))


def build(**arguments):
    torch.manual_seed(0)
    default = {'type': 'VideoTextRetriever', 'vision': VIM, 'text': MAMBA_LM, 'embed_dims': 10}
    if arguments.get('type') == 'Clip4ClipTeacher':
        default = {'config': CLIP}
    model = MODELS.build({**default, 'tokenizer': word_tokenizer(), **arguments})
    model.init_weights()
    return model.eval()


def teacher(**arguments):
    return build(type='Clip4ClipTeacher', **arguments)


def clips(count=4, frames=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, frames, SIDE, SIDE, generator=generator)


def samples(texts, masks=None, **ids):
    found = []
    for i, text in enumerate(texts):
        sample = DataSample()
        sample.set_field(text, 'text')
        if masks is not None:
            sample.frame_mask = masks[i]
        for name, values in ids.items():
            sample.set_field(values[i], name, field_type='metainfo')
        found.append(sample)
    return found
