"""Every kind of feature of every family, against the library's outputs or plain hooks."""

import pytest
import torch
from mmpretrain.models import SwinTransformer, SwinTransformerV2
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
)

from tests.models.layouts.test_layouts import SWINS, build
from tests.transfer.small_models import (
    plainmamba_config,
    trained,
    videomamba_config,
    vim_config,
    vmamba_config,
)
from transmamba_mm.errors import UserError
from transmamba_mm.models import MambaLM
from transmamba_mm.models.hf.clip_vision import ClipVision
from transmamba_mm.models.layouts import CallInputs, TokenLayout, layout_of

SIZES = {
    'hidden_size': 12,
    'intermediate_size': 24,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
}
VISION = {**SIZES, 'image_size': 8, 'patch_size': 4, 'num_channels': 1}
TEXT = {**SIZES, 'vocab_size': 20, 'max_position_embeddings': 12}
TEXT |= {'bos_token_id': None, 'eos_token_id': 1, 'pad_token_id': 0}
IMAGES = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(2, 20, (2, 5), generator=torch.Generator().manual_seed(0))
LEFT_PADDED = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])


@torch.no_grad()
def features(kind, backbone, run, grids):
    """Features of a kind, one for each layer, from the records of plain hooks."""
    sources = getattr(layout_of(backbone), kind)()
    assert len(sources) == len(grids)
    records = {}

    def keep(path, from_inputs):
        def hook(_, args, kwargs, output):
            records[path] = CallInputs(args, kwargs) if from_inputs else output

        return hook

    handles = [
        backbone.get_submodule(s.path).register_forward_hook(
            keep(s.path, s.from_inputs), with_kwargs=True
        )
        for s in sources
    ]
    run()
    for handle in handles:
        handle.remove()
    return [s.read(records[s.path], grid) for s, grid in zip(sources, grids, strict=True)]


@torch.no_grad()
def calls(module, run):
    """Input and output of a module in one run."""
    found = []
    handle = module.register_forward_hook(
        lambda _, args, kwargs, output: found.append((CallInputs(args, kwargs), output)),
        with_kwargs=True,
    )
    run()
    handle.remove()
    return found[-1]


def join(patches, cls):
    return patches if cls is None else torch.cat([cls[:, None], patches], dim=1)


def hidden_states(value):
    return value[0] if isinstance(value, tuple) else value


def randomized(backbone):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    backbone.eval()  # mmpretrain's returns nothing
    return backbone


def vit():
    backbone = randomized(build(layer_scale_init_value=0.5))
    return backbone, lambda: backbone(IMAGES), [(2, 2)] * 2


def swin(cls=SwinTransformer, side=16):
    backbone = randomized(cls(**SWINS[cls], in_channels=1, pad_small_map=True, out_indices=(2,)))
    images = torch.randn(2, 1, 2 * side, 2 * side)
    grids = layout_of(backbone).layer_grids((2 * side, 2 * side))
    return backbone, lambda: backbone(images), grids


def clip_vision(implementation='sdpa'):
    backbone = CLIPVisionModel(CLIPVisionConfig(**VISION, attn_implementation=implementation))
    backbone = randomized(backbone)
    return backbone, lambda: backbone(IMAGES), [(2, 2)] * 2


def own_clip_vision():
    backbone = randomized(ClipVision(config=VISION))
    return backbone, lambda: backbone(IMAGES), [(2, 2)] * 2


def clip_text(mask=None, implementation='sdpa'):
    backbone = CLIPTextModel(CLIPTextConfig(**TEXT, attn_implementation=implementation))
    backbone = randomized(backbone)
    return backbone, lambda: backbone(TOKENS, attention_mask=mask), [(1, 5)] * 2


def llama(mask=None, implementation='sdpa', **kwargs):
    config = LlamaConfig(**TEXT, **kwargs, attn_implementation=implementation)
    backbone = randomized(LlamaModel(config))
    return backbone, lambda: backbone(TOKENS, attention_mask=mask), [(1, 5)] * 2


def classifier(config):
    backbone = randomized(trained(config).backbone)
    grids = layout_of(backbone).layer_grids((8, 8))
    return backbone, lambda: backbone(IMAGES), grids


def mamba_lm():
    sizes = {'vocab_size': 20, 'hidden_size': 12, 'num_hidden_layers': 2, 'state_size': 4}
    backbone = randomized(MambaLM(config=sizes))
    return backbone, lambda: backbone(TOKENS), [(1, 5)] * 2


STUDENTS = {
    'vim': lambda: classifier(vim_config()),
    'plainmamba': lambda: classifier(plainmamba_config()),
    'vmamba': lambda: classifier(vmamba_config()),
    'videomamba': lambda: classifier(videomamba_config()),
    'mamba_lm': mamba_lm,
}
#: How the norm before the mixer, and the one after it, are called in a layer.
NORMS = {
    'vit': (vit, 'ln1', 'ln2'),
    'swin': (swin, 'norm1', 'norm2'),
    'clip vision': (clip_vision, 'layer_norm1', 'layer_norm2'),
    'ClipVision': (own_clip_vision, 'layer_norm1', 'layer_norm2'),
    'clip text': (clip_text, 'layer_norm1', 'layer_norm2'),
    'llama': (llama, 'input_layernorm', 'post_attention_layernorm'),
}


@pytest.mark.parametrize('name', NORMS)
def test_an_attention_reads_the_normalized_stream_and_adds_to_it(name):
    make, before, after = NORMS[name]
    backbone, run, grids = make()
    inputs, outputs = (
        features(f'mixer_{part}s', backbone, run, grids) for part in ('input', 'output')
    )
    for layer, path in enumerate(layout_of(backbone).layer_paths()):
        block = backbone.get_submodule(path)
        call, normalized = calls(getattr(block, before), run)
        torch.testing.assert_close(join(*inputs[layer]), normalized)
        added = calls(getattr(block, after), run)[0].hidden_states - call.hidden_states
        torch.testing.assert_close(join(*outputs[layer]), added, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('name', [*NORMS, 'swin v2'])
def test_an_mlp_goes_from_the_stream_between_to_the_output_of_its_layer(name):
    is_v2 = name == 'swin v2'
    make, _, after = NORMS['swin' if is_v2 else name]
    backbone, run, grids = swin(SwinTransformerV2) if is_v2 else make()
    middle, inputs, outputs, behind = (
        features(kind, backbone, run, grids)
        for kind in ('middle_features', 'mlp_inputs', 'mlp_outputs', 'layer_features')
    )
    for layer, path in enumerate(layout_of(backbone).layer_paths()):
        stream = join(*middle[layer])
        norm = getattr(backbone.get_submodule(path), after)
        expected = stream if is_v2 else norm(stream)
        torch.testing.assert_close(join(*inputs[layer]), expected)
        total = stream + join(*outputs[layer])
        torch.testing.assert_close(join(*behind[layer]), total, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    'make, activation',
    [
        *((make, 'gelu') for make in (vit, swin)),
        *((make, 'quick_gelu') for make in (clip_vision, own_clip_vision, clip_text)),
        (llama, None),  # gated
    ],
)
def test_activations_of_mlps(make, activation):
    assert layout_of(make()[0]).mlp_activation == activation


@pytest.mark.parametrize('apart', [False, True], ids=['merged', 'directions kept apart'])
@pytest.mark.parametrize('name', STUDENTS)
def test_a_scan_reads_the_normalized_stream_and_adds_to_it(name, apart):
    backbone, run, grids = STUDENTS[name]()
    layout = layout_of(backbone)
    for path in layout.direction_paths() if apart else ():
        backbone.get_submodule(path).register_forward_hook(lambda *_: None)
    inputs, outputs = (
        features(f'mixer_{part}s', backbone, run, grids) for part in ('input', 'output')
    )
    for layer, (path, grid) in enumerate(zip(layout.layer_paths(), grids, strict=True)):
        block = backbone.get_submodule(path)
        norm = block.norm1 if name == 'vmamba' else block.norm
        call, normalized = calls(norm, run)
        torch.testing.assert_close(inputs[layer], layout.to_canonical(normalized, grid))
        if name == 'vmamba':
            behind = calls(block.norm2, run)[0].hidden_states
        elif name == 'plainmamba' and block.dw is not None:
            mixed = backbone.get_submodule(layout.mixer_paths()[layer])
            with torch.no_grad():
                behind = call.hidden_states + mixed(*calls(mixed, run)[0].args[:2])
        else:
            behind = calls(block, run)[1]
        added, cls = layout.to_canonical(behind - call.hidden_states, grid)
        atol = 1e-5 * float(added.abs().max())
        torch.testing.assert_close(outputs[layer][0], added, atol=atol, rtol=1e-4)
        assert (outputs[layer][1] is None) is (cls is None)
        if cls is not None:
            torch.testing.assert_close(outputs[layer][1], cls, atol=atol, rtol=1e-4)


def test_attention_maps_of_a_vit_are_those_of_torch():
    backbone, run, grids = vit()
    for layer, found in enumerate(features('attention_maps', backbone, run, grids)):
        attention = backbone.layers[layer].attn
        theirs = nn.MultiheadAttention(12, 2, batch_first=True)
        theirs.in_proj_weight, theirs.in_proj_bias = attention.qkv.weight, attention.qkv.bias
        hidden = calls(attention, run)[0].hidden_states
        with torch.no_grad():
            wanted = theirs(hidden, hidden, hidden, average_attn_weights=False)[1]
        assert found.shape == (2, 2, 5, 5)
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize('cls', SWINS)
def test_attention_maps_of_a_swin_join_its_windows(cls):
    backbone, run, grids = swin(cls)
    maps = features('attention_maps', backbone, run, grids)
    shifts = set()
    for path, found, grid in zip(layout_of(backbone).mixer_paths(), maps, grids, strict=True):
        attention = backbone.get_submodule(path)
        shifts.add(attention.shift_size)
        call, wanted = calls(attention, run)
        window = attention.w_msa
        with torch.no_grad():
            bias = window.qkv.bias
            if cls is SwinTransformerV2:
                bias = torch.cat([window.q_bias, 0 * window.q_bias, window.v_bias])
            value = nn.functional.linear(call.hidden_states, window.qkv.weight, bias).chunk(3, -1)[
                2
            ]
            heads = value.unflatten(-1, (2, -1)).transpose(1, 2)
            mixed = window.proj((found @ heads).transpose(1, 2).flatten(2))
        torch.testing.assert_close(mixed, wanted, atol=1e-5, rtol=1e-4)
        length = grid[0] * grid[1]
        assert found.shape == (2, 2, length, length)
        assert (found > 1e-20).sum(-1).max() <= 4  # windows of 2x2
        torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:-1]))
    assert shifts == {0, 1}


def test_attention_of_a_padded_swin_leaves_padding_out():
    backbone, run, grids = swin(side=18)
    assert any(side % 2 for grid in grids for side in grid)
    for found, grid in zip(features('attention_maps', backbone, run, grids), grids, strict=True):
        assert found.shape[-1] == grid[0] * grid[1]
        assert (found.sum(-1) < 1 + 1e-5).all() and (found.sum(-1) > 0).all()


@pytest.mark.parametrize(
    ('make', 'kwargs'),
    [
        (clip_vision, {}),
        (clip_text, {}),
        (clip_text, {'mask': LEFT_PADDED}),
        (llama, {}),
        (llama, {'mask': LEFT_PADDED}),
        (llama, {'num_key_value_heads': 1}),
        (llama, {'use_cache': True}),
    ],
    ids=lambda value: '+'.join(value) if isinstance(value, dict) else value.__name__,
)
@pytest.mark.parametrize('implementation', ['sdpa', 'eager'])
def test_attention_maps_are_those_of_transformers(make, kwargs, implementation):
    backbone, run, grids = make(implementation=implementation, **kwargs)
    found = features('attention_maps', backbone, run, grids)
    assert backbone.config._attn_implementation == implementation
    eager = make(implementation='eager', **kwargs)[0]
    eager.config.output_attentions = True
    eager.load_state_dict(backbone.state_dict())
    inputs = IMAGES if make is clip_vision else TOKENS
    masks = {'attention_mask': kwargs['mask']} if 'mask' in kwargs else {}
    with torch.no_grad():
        wanted = eager(inputs, **masks, output_attentions=True).attentions
    for ours, theirs in zip(found, wanted, strict=True):
        if masks:  # a row of padding reads nothing, and each implementation has its own nothing
            real = LEFT_PADDED.bool()[:, None, :, None].expand_as(ours)
            ours, theirs = ours[real], theirs[real]
        torch.testing.assert_close(ours, theirs)


def test_attention_maps_of_our_clip_are_those_of_the_model_inside():
    backbone, run, grids = own_clip_vision()
    inner = features('attention_maps', backbone.model, run, grids)
    torch.testing.assert_close(features('attention_maps', backbone, run, grids), inner)


@pytest.mark.parametrize('name', ['vim', 'mamba_lm'])
def test_a_scan_has_no_attention_maps(name):
    backbone, _, _ = STUDENTS[name]()
    with pytest.raises(UserError, match=rf'{type(backbone).__name__} has no attention maps'):
        layout_of(backbone).attention_maps()


@pytest.mark.parametrize('make', [vit, clip_vision, llama])
def test_attention_has_no_directions(make):
    backbone, _, _ = make()
    with pytest.raises(UserError, match=rf'{type(backbone).__name__} has no direction features'):
        layout_of(backbone).direction_features()


def test_a_family_that_names_no_mixer_is_refused():
    with pytest.raises(UserError, match='VisionTransformer has no mixer inputs and outputs'):
        TokenLayout.mixer_paths(layout_of(build()))
