"""Going on from a cache, padding, and transformers' ways to generate."""

import pytest
import torch
import torch.nn.functional as F

from tests.models.hf.small_lm import PAD, cache_of, ours_alone, pad_left, pair, tokens
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf import mamba_cache
from transmamba_mm.models.hf.mamba_cache import KEYWORD

BIASES = {'use_bias': True}  # of in_proj: padding is 0 before it, not after it
HIDDEN = {'bc_from': 'hidden'}


@pytest.mark.parametrize(
    'chunks', [[7, 1, 1], [1, 8], [2, 1, 6], [4, 5], [1] * 9, [3, 3, 3]], ids=str
)
@pytest.mark.parametrize('config', [{}, HIDDEN], ids=['plain', 'hidden'])
def test_a_sequence_in_pieces_is_the_same_sequence(chunks, config):
    ours = ours_alone(torch.float64, **config)
    ids = tokens(2, sum(chunks))
    with torch.no_grad():
        whole = ours(ids).logits
        cache, pieces = None, []
        for piece in ids.split(chunks, dim=1):
            out = ours(piece, cache=cache, use_cache=True)
            cache = cache_of(out)
            pieces.append(out.logits)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-10, rtol=0)


def test_one_token_at_a_time_equals_transformers():
    ours, theirs = pair()
    ids = tokens(2, 6)
    caches = [None, None]
    for i in range(ids.shape[1]):
        with torch.no_grad():
            outs = [
                model(ids[:, i : i + 1], **{KEYWORD: cache}, use_cache=True)
                for model, cache in zip((ours, theirs), caches, strict=True)
            ]
        caches = [cache_of(out) for out in outs]
        torch.testing.assert_close(outs[0].logits, outs[1].logits, atol=2e-5, rtol=1e-4)
    for mine, reference in zip(caches[0].layers, caches[1].layers, strict=True):
        for name in ('conv_states', 'recurrent_states'):
            torch.testing.assert_close(
                getattr(mine, name)[0], getattr(reference, name)[0], atol=2e-5, rtol=1e-4
            )


def test_a_reset_cache_is_an_empty_one():
    ours, _ = pair()
    ids = tokens()
    with torch.no_grad():
        first = ours(ids)
        logits = first.logits.clone()
        cache_of(first).reset()
        torch.testing.assert_close(ours(ids, cache=cache_of(first)).logits, logits)


def test_recording_the_past_changes_nothing():
    """Transformers keeps all of the convolution's past when it may have to go back."""
    ours, _ = pair()
    ids = tokens()
    with torch.no_grad():
        plain = ours(ids[:, :5])
        recording = cache_of(ours(ids[:, :1]))
        recording.reset()
        recording.activate_past_recording()
        ours(ids[:, :5], cache=recording)
        for i in (5, 6):
            expected = ours(ids[:, i : i + 1], cache=cache_of(plain)).logits
            actual = ours(ids[:, i : i + 1], cache=recording).logits
            torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('config', [{}, BIASES, HIDDEN], ids=['plain', 'biases', 'hidden'])
class TestLeftPadding:
    sequences = [tokens(1, length, seed=length)[0] for length in (9, 1, 4)]

    def test_logits_and_state_are_those_of_each_alone(self, config):
        ours = ours_alone(torch.float64, **config)
        ids, mask = pad_left(self.sequences)
        with torch.no_grad():
            batch = ours(ids, attention_mask=mask)
            for row, sequence in enumerate(self.sequences):
                alone = ours(sequence[None])
                torch.testing.assert_close(
                    batch.logits[row, -len(sequence) :], alone.logits[0], atol=1e-10, rtol=0
                )
                for i in range(ours.num_layers):
                    for name in ('conv_states', 'recurrent_states'):
                        torch.testing.assert_close(
                            getattr(cache_of(batch).layers[i], name)[0][row],
                            getattr(cache_of(alone).layers[i], name)[0][0],
                            atol=1e-10,
                            rtol=0,
                        )

    def test_padding_leaves_the_state_exactly_zero(self, config):
        ours = ours_alone(**config)
        ids = tokens()
        with torch.no_grad():
            out = ours(ids, attention_mask=torch.zeros_like(ids))
        for layer in cache_of(out).layers:
            assert not layer.recurrent_states[0].any()
            assert not layer.conv_states[0].any()

    def test_what_stands_in_the_padding_does_not_matter(self, config):
        ours = ours_alone(**config)
        ids, mask = pad_left(self.sequences)
        other = torch.where(mask.bool(), ids, 17)
        with torch.no_grad():
            logits = [ours(x, attention_mask=mask).logits[:, -1] for x in (ids, other)]
        assert torch.equal(*logits)

    @pytest.mark.parametrize('options', [{}, {'num_beams': 3}], ids=['greedy', 'beams'])
    def test_generated_tokens_are_those_of_each_alone(self, config, options):
        ours = ours_alone(**config)
        ids, mask = pad_left(self.sequences)
        options = {'max_new_tokens': 8, 'do_sample': False, 'pad_token_id': PAD, **options}
        batch = ours.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :]
        for row, sequence in enumerate(self.sequences):
            alone = ours.generate(sequence[None], **options)[0, len(sequence) :]
            assert torch.equal(batch[row], alone)

    def test_going_on_with_the_mask_of_everything_so_far(self, config):
        ours = ours_alone(torch.float64, **config)
        ids, mask = pad_left(self.sequences)
        with torch.no_grad():
            whole = ours(ids, attention_mask=mask).logits
            first = ours(ids[:, :3], attention_mask=mask[:, :3])
            rest = ours(ids[:, 3:], attention_mask=mask, cache=cache_of(first)).logits
        torch.testing.assert_close(rest[:, -1], whole[:, -1], atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'do_sample': True, 'temperature': 0.7},
        {'num_beams': 4},
        {'num_beams': 4, 'num_return_sequences': 2},
        {'use_cache': False},
    ],
    ids=['greedy', 'sampling', 'beams', 'two-beams', 'no-cache'],
)
def test_generates_what_transformers_generates(options):
    ours, theirs = pair()
    ids = tokens(2, 5)
    outputs = []
    for model in (ours, theirs):
        torch.manual_seed(3)
        options = {'max_new_tokens': 12, 'pad_token_id': PAD, 'do_sample': False, **options}
        outputs.append(model.generate(ids, **options))
    assert torch.equal(*outputs)
    assert outputs[0].shape[1] == 17


def test_generates_from_embeddings():
    ours, _ = pair()
    ids, mask = pad_left([tokens(1, 3)[0], tokens(1, 6)[0]])
    embeds = ours.get_input_embeddings()(ids)
    expected = ours.generate(ids, attention_mask=mask, max_new_tokens=6, pad_token_id=PAD)
    actual = ours.generate(
        inputs_embeds=embeds, attention_mask=mask, max_new_tokens=6, pad_token_id=PAD
    )
    assert torch.equal(actual, expected[:, ids.shape[1] :])


@pytest.mark.parametrize('config', [{}, HIDDEN], ids=['plain', 'hidden'])
def test_greedy_tokens_are_the_argmax_of_the_whole_sequence(config):
    """No cache, no step: the definition."""
    ours = ours_alone(**config)
    ids = tokens(1, 4)
    generated = ours.generate(ids, max_new_tokens=5, pad_token_id=PAD)
    with torch.no_grad():
        for _ in range(5):
            ids = F.pad(ids, (0, 1), value=int(ours(ids).logits[0, -1].argmax()))
    assert torch.equal(generated, ids)


@pytest.mark.parametrize('config', [{}, BIASES, HIDDEN], ids=['plain', 'biases', 'hidden'])
@pytest.mark.parametrize('lengths', [[5], [5, 5, 5], [9, 1, 4]], ids=['one', 'batch', 'padded'])
def test_generation_with_the_cache_equals_generation_without(config, lengths):
    ours = ours_alone(torch.float64, **config)
    ids, mask = pad_left([tokens(1, n, seed=n + i)[0] for i, n in enumerate(lengths)])
    options = {'max_new_tokens': 10, 'do_sample': False, 'pad_token_id': PAD}
    options |= {'return_dict_in_generate': True, 'output_logits': True}
    read = []
    ours.backbone.embeddings.register_forward_hook(lambda _, args, __: read.append(args[0].shape))
    cached = ours.generate(ids, attention_mask=mask, use_cache=True, **options)
    assert [shape[1] for shape in read] == [ids.shape[1]] + [1] * 9
    plain = ours.generate(ids, attention_mask=mask, use_cache=False, **options)
    assert [shape[1] for shape in read[10:]] == [*range(ids.shape[1], ids.shape[1] + 10)]
    assert torch.equal(cached.sequences, plain.sequences)
    for one, other in zip(cached.logits, plain.logits, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


@pytest.mark.parametrize('name', ['cache', 'cache_params'])
def test_a_cache_under_either_name_is_used(name):
    ours = ours_alone(torch.float64)
    ids = tokens()
    with torch.no_grad():
        whole = ours(ids).logits
        first = ours(ids[:, :4])
        rest = ours(ids[:, 4:], **{name: cache_of(first)})
    torch.testing.assert_close(rest.logits, whole[:, 4:], atol=1e-10, rtol=0)


@pytest.mark.parametrize('names', [['past_key_values'], ['cache', 'cache_params']], ids=str)
def test_a_cache_that_would_be_ignored_is_refused(names):
    ours, _ = pair()
    cache = cache_of(ours(tokens()))
    with pytest.raises(UserError, match=names[0]):
        ours(tokens(), **dict.fromkeys(names, cache))


def test_another_keyword_of_transformers_is_noticed(monkeypatch):
    monkeypatch.setattr(mamba_cache, 'NAMES', ('of_the_past',))
    with pytest.raises(UserError, match=r'transformers \d.*of_the_past'):
        mamba_cache._find_keyword()
