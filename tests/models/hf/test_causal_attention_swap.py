"""A swapped Transformer of text: the Transformer where nothing is swapped, and how it generates."""

import copy
import pickle

import pytest
import torch

from tests.models.hf.small_lm import PAD, pad_left, tokens
from tests.models.hf.small_swaps import (
    FAMILIES,
    HYBRIDS,
    cache_of,
    clip_text,
    language_model,
    swapped,
)
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf import CausalAttentionSwap
from transmamba_mm.models.hf.recurrent_cache import KEYWORDS
from transmamba_mm.registry import MODELS

SEQUENCES = [tokens(1, length, seed=length)[0] for length in (9, 1, 4)]
#: RMSNorm and rotary positions are float32 in a float64 model of transformers.
CLOSE = {'atol': 1e-5, 'rtol': 0}


@pytest.mark.parametrize('family', FAMILIES)
def test_with_no_layer_swapped_it_is_the_language_model(family):
    theirs = language_model(family)
    ours = CausalAttentionSwap(copy.deepcopy(theirs), layers=[]).eval()
    ours.init_weights()
    ids, mask = pad_left(SEQUENCES)
    with torch.no_grad():
        results = [model(ids, attention_mask=mask) for model in (ours, theirs)]
    assert torch.equal(results[0].logits, results[1].logits)
    options = {'max_new_tokens': 8, 'do_sample': False, 'pad_token_id': PAD}
    written = [model.generate(ids, attention_mask=mask, **options) for model in (ours, theirs)]
    assert torch.equal(*written)


def test_with_no_layer_swapped_it_is_clips_text_tower():
    theirs = clip_text()
    ours = CausalAttentionSwap(copy.deepcopy(theirs), layers=[]).eval()
    ours.init_weights()
    ids, mask = pad_left(SEQUENCES)
    with torch.no_grad():
        results = [model(input_ids=ids, attention_mask=mask) for model in (ours, theirs)]
    assert torch.equal(results[0].last_hidden_state, results[1].last_hidden_state)


@pytest.mark.parametrize(
    'family, layers',
    [*(('llama-grouped', layers) for layers in HYBRIDS.values()), ('mistral', [1]), ('qwen2', [1])],
    ids=str,
)
class TestGeneration:
    @pytest.mark.parametrize('lengths', [[6], [9, 1, 4]], ids=['one', 'padded'])
    def test_with_the_cache_equals_without(self, family, layers, lengths):
        model = swapped(language_model(family), layers=layers)
        ids, mask = pad_left([tokens(1, n, seed=n)[0] for n in lengths])
        options = {'max_new_tokens': 10, 'do_sample': False, 'pad_token_id': PAD}
        options |= {'return_dict_in_generate': True, 'output_logits': True}
        read = []
        model.core.embed_tokens.register_forward_hook(lambda _, args, __: read.append(args[0]))
        cached = model.generate(ids, attention_mask=mask, use_cache=True, **options)
        assert [part.shape[1] for part in read] == [ids.shape[1]] + [1] * 9
        plain = model.generate(ids, attention_mask=mask, use_cache=False, **options)
        assert read[-1].shape[1] == ids.shape[1] + 9
        assert torch.equal(cached.sequences, plain.sequences)
        for one, other in zip(cached.logits, plain.logits, strict=True):
            torch.testing.assert_close(one, other, **CLOSE)

    @pytest.mark.parametrize('options', [{}, {'num_beams': 3}], ids=['greedy', 'beams'])
    def test_generated_tokens_are_those_of_each_alone(self, family, layers, options):
        model = swapped(language_model(family), layers=layers)
        ids, mask = pad_left(SEQUENCES)
        options = {'max_new_tokens': 8, 'do_sample': False, 'pad_token_id': PAD, **options}
        batch = model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :]
        for row, sequence in enumerate(SEQUENCES):
            alone = model.generate(sequence[None], **options)[0, len(sequence) :]
            assert torch.equal(batch[row], alone)


@pytest.mark.parametrize('chunks', [[7, 1, 1], [1, 8], [2, 1, 6], [1] * 9], ids=str)
@pytest.mark.parametrize('layers', HYBRIDS.values(), ids=HYBRIDS)
def test_a_sequence_in_pieces_is_the_same_sequence(chunks, layers):
    model = swapped(language_model('llama-grouped'), layers=layers)
    ids = tokens(2, 9)
    with torch.no_grad():
        whole = model(ids, use_cache=False).logits
        cache, pieces = None, []
        for piece in ids.split(chunks, dim=1):
            out = model(piece, past_key_values=cache, use_cache=True)
            cache = cache_of(out)
            pieces.append(out.logits)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, **CLOSE)
    assert cache.get_seq_length() == 9


def test_beams_equal_those_without_a_cache():
    model = swapped(language_model('llama-grouped'), layers=[0, 2])
    ids, mask = pad_left(SEQUENCES)
    options = {'max_new_tokens': 8, 'num_beams': 4, 'do_sample': False, 'pad_token_id': PAD}
    found = [
        model.generate(ids, attention_mask=mask, use_cache=c, **options) for c in (True, False)
    ]
    assert torch.equal(*found)


def test_generates_from_embeddings():
    model = swapped(language_model())
    ids, mask = pad_left(SEQUENCES)
    options = {'attention_mask': mask, 'max_new_tokens': 6, 'pad_token_id': PAD}
    written = model.generate(ids, **options)[:, ids.shape[1] :]
    embeds = model.get_input_embeddings()(ids)
    assert torch.equal(model.generate(inputs_embeds=embeds, **options), written)


def test_the_state_does_not_grow():
    model = swapped(language_model(), layers=[0, 1, 2])
    sizes = []
    for length in (5, 50):
        cache = cache_of(model(tokens(1, length), use_cache=True))
        states = cache.layers[1]
        sizes.append([states.conv_states[0].shape, states.recurrent_states[0].shape])
        assert cache.layers[3].keys.shape[2] == length
    assert sizes[0] == sizes[1] == [(1, 24, 4), (1, 24, 16)]


@pytest.mark.parametrize('layers', HYBRIDS.values(), ids=HYBRIDS)
def test_clips_text_tower_ignores_padding_and_what_follows(layers):
    model = swapped(clip_text(), layers=layers)
    ids, mask = pad_left(SEQUENCES)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        batch = model(input_ids=ids, attention_mask=mask, position_ids=places).last_hidden_state
        for row, sequence in enumerate(SEQUENCES):
            alone = model(input_ids=sequence[None]).last_hidden_state[0]
            torch.testing.assert_close(batch[row, -len(sequence) :], alone, atol=1e-10, rtol=0)
            half = model(input_ids=sequence[None, :3]).last_hidden_state[0]
            torch.testing.assert_close(alone[: len(half)], half, atol=1e-10, rtol=0)


def test_training_needs_no_cache_and_checkpointing_changes_no_gradient():
    gradients = []
    for with_cp in (False, True):
        model = swapped(language_model('llama-grouped'), with_cp=with_cp).train()
        ids, mask = pad_left(SEQUENCES)
        out = model(ids, attention_mask=mask)
        assert not set(out) & set(KEYWORDS)
        out.logits[:, -1].square().sum().backward()
        assert all(p.grad is not None for p in model.parameters())
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_copies_and_pickles():
    model = swapped(language_model(), layers=[0, 2])
    ids, mask = pad_left(SEQUENCES)
    logits = [
        one(ids, attention_mask=mask).logits
        for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)))
    ]
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])


def test_foreign_caches_and_masks_are_refused():
    theirs = language_model()
    cache = cache_of(theirs(tokens()))
    model = swapped(theirs, torch.float32, layers=[1])
    with pytest.raises(UserError, match='keys and values of layer 1'):
        model(tokens(), past_key_values=cache)
    with pytest.raises(UserError, match='static'):
        model(tokens(), attention_mask=torch.ones(2, 1, 7, 7))


def test_transformers_of_images_and_unknown_models_are_refused():
    sizes = {'hidden_size': 32, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    vision = {'type': 'ClipVision', 'config': {**sizes, 'image_size': 32, 'patch_size': 8}}
    with pytest.raises(UserError, match='takes a Transformer of text, not a ClipVision'):
        MODELS.build({'type': 'CausalAttentionSwap', 'transformer': vision})
    with pytest.raises(UserError, match='model_type'):
        MODELS.build({'type': 'CausalLM', 'config': {'model_type': 'gpt2'}})
    for layers in ([4], [-5], 'all'):
        with pytest.raises(UserError, match='layers='):
            swapped(language_model(), layers=layers)
