"""Videos and texts in one space: alone as in a batch, masked, and learned."""

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

from tests.models.retrieval.small_retrieval import (
    CAPTIONS,
    CLIP,
    CLIP_TEXT,
    CLIP_TEXT_TOWER,
    CLIP_VISION,
    MAMBA_LM,
    VIDEO_MAMBA,
    VIM,
    VMAMBA,
    build,
    clips,
    samples,
    start_and_end_tokenizer,
    teacher,
    word_tokenizer,
)
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.models.token_batch import TokenBatch
from transmamba_mm.transfer import FeatureRecorder

MODELS = {
    'vim': {},
    'vim-mamba': {'temporal': 'mamba'},
    'vmamba': {'vision': VMAMBA},
    'videomamba': {'vision': VIDEO_MAMBA},
    'clip-vision': {'vision': {'type': 'ClipVision', 'config': CLIP_VISION}},
    'clip-text': {'text': CLIP_TEXT_TOWER},
    'teacher': {'type': 'Clip4ClipTeacher'},
}
every_model = pytest.mark.parametrize('arguments', MODELS.values(), ids=MODELS)


@every_model
@torch.no_grad()
def test_predict_and_tensor_agree(arguments):
    model = build(**arguments)
    texts = [CAPTIONS[:3], CAPTIONS[3], [], 'seven']
    found = model(clips(), samples(texts), mode='predict')
    assert [sample.text_embeddings.shape for sample in found] == [
        (3, 10),
        (1, 10),
        (0, 10),
        (1, 10),
    ]
    videos = torch.stack([sample.video_embedding for sample in found])
    words = torch.cat([sample.text_embeddings for sample in found])
    torch.testing.assert_close(videos.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(words.norm(dim=1), torch.ones(5))
    similarity = model(clips(), samples(texts))
    torch.testing.assert_close(similarity, model.log_scale.exp() * words @ videos.T)


@every_model
@torch.no_grad()
def test_alone_is_as_in_a_batch(arguments):
    model = build(**arguments)
    videos, texts = model.encode_video(clips()), model.encode_text(CAPTIONS)
    for i in range(4):
        alone = model.encode_video(clips()[i : i + 1])[0], model.encode_text(CAPTIONS[i : i + 1])[0]
        torch.testing.assert_close(videos[i], alone[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(texts[i], alone[1], atol=1e-5, rtol=1e-4)
    assert torch.pdist(texts).min() > 1e-4


@pytest.mark.parametrize('name', sorted(set(MODELS) - {'videomamba', 'clip-text'}))
@torch.no_grad()
def test_frames_that_only_fill_up_do_not_count(name):
    model = build(**MODELS[name])
    short, padded = clips(2, frames=3), clips(2, frames=5, seed=2)
    padded[:, :, :3] = short
    mask = torch.tensor([[True] * 3 + [False] * 2] * 2)
    expected = model.encode_video(short)
    torch.testing.assert_close(model.encode_video(padded, mask), expected, atol=1e-5, rtol=1e-4)
    assert (model.encode_video(padded) - expected).abs().max() > 1e-3
    found = model(padded, samples(['a', 'b'], masks=mask), mode='predict')
    torch.testing.assert_close(found[0].video_embedding, expected[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_video_without_any_real_frame_is_the_zero_vector():
    for arguments in ({}, {'temporal': 'mamba'}, {'type': 'Clip4ClipTeacher'}):
        found = build(**arguments).encode_video(clips(1), torch.zeros(1, 4, dtype=torch.bool))
        assert found.eq(0).all()


@torch.no_grad()
def test_images_are_clips_of_one_frame():
    for model in (build(), build(vision=VIDEO_MAMBA), teacher()):
        still = clips(2, frames=1)
        torch.testing.assert_close(model.encode_video(still[:, :, 0]), model.encode_video(still))
    with pytest.raises(UserError, match='not inputs of shape'):
        model.encode_video(clips()[0, 0])


@pytest.mark.parametrize('name', ['vim-mamba', 'videomamba', 'clip-text', 'teacher'])
def test_learns_which_caption_is_whose(name):
    model = build(**MODELS[name]).train()
    texts = ['a seven moves left', 'the digit one', 'two then up', 'a seven moves left']
    pictures = clips()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(40):
        loss = model(pictures, samples(texts), mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    similarity = model.eval()(pictures, samples(texts)).softmax(1)
    wanted = torch.eye(4)
    wanted[0, 3] = wanted[3, 0] = 1
    # Two videos share a caption: each is a positive of the other's.
    torch.testing.assert_close(similarity, wanted / wanted.sum(1, keepdim=True), atol=0.15, rtol=0)


def test_the_scale_stops_at_a_hundred_and_can_come_back():
    for model in (build().train(), teacher().train()):
        with torch.no_grad():
            model.log_scale.fill_(9.0)
        model(clips(), samples(CAPTIONS), mode='loss')['loss'].backward()
        torch.testing.assert_close(model.log_scale.exp(), torch.tensor(100.0))
        assert model.log_scale.grad.abs() > 0


@pytest.mark.parametrize('texts', [['a', ''], ['a', ['b']]], ids=['empty', 'list of one'])
def test_what_training_takes(texts):
    assert build()(clips(2), samples(texts), mode='loss')['loss'].isfinite()


def test_what_training_refuses():
    model = build()
    with pytest.raises(UserError, match='a sample has 2'):
        model(clips(2), samples(['a', ['a', 'b']]), mode='loss')
    with pytest.raises(UserError, match='a sample has 0'):
        model(clips(2), samples(['a', None]), mode='loss')
    with pytest.raises(UserError, match="mode='train'"):
        model(clips(2), samples(['a', 'b']), mode='train')


@every_model
def test_towers_are_at_their_paths(arguments):
    model = build(**arguments)
    towers = model.towers()
    assert list(towers) == ['vision', 'text']
    paths = [model.logits_source().path, model.token_batch_path]
    for tower in towers.values():
        assert model.get_submodule(tower.path) is tower.backbone
        paths += [f'{tower.path}.{path}' for path in layout_of(tower.backbone).layer_paths()]
    recorder = FeatureRecorder(model, paths)
    with recorder.record(model) as recording:
        similarity = model(clips(), samples(CAPTIONS))
    assert recording.outputs['similarity'] is similarity
    captions = recording.outputs[model.token_batch_path]
    assert isinstance(captions, TokenBatch)
    last = recording.outputs[paths[-1]]
    assert last.shape[:2] == captions.mask.shape


@pytest.mark.parametrize('whole', [False, True])
@torch.no_grad()
def test_text_tower_from_a_checkpoint_keeps_its_weights(tmp_path, whole):
    torch.manual_seed(3)
    saved = CLIPModel(CLIPConfig(**CLIP)) if whole else CLIPTextModel(CLIPTextConfig(**CLIP_TEXT))
    saved.save_pretrained(tmp_path)
    start_and_end_tokenizer().save_pretrained(tmp_path)
    model = build(text={'type': 'ClipText', 'checkpoint': str(tmp_path)}, tokenizer=None)
    expected = (saved.text_model if whole else saved).state_dict()
    for key, value in model.text.state_dict().items():
        torch.testing.assert_close(value, expected[key])
    assert model.caption_tokenizer.tokenizer.bos_token == '<s>'
    assert model.caption_tokenizer.max_tokens == 12


def test_a_long_caption_fits_the_positions():
    model = build(text=CLIP_TEXT_TOWER)
    assert model.encode_text(['seven ' * 100, 'a']).isfinite().all()
    assert model.caption_tokenizer.num_truncated == 1
    assert build(max_tokens=5).caption_tokenizer.max_tokens == 5


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'vision': {**VIM, 'out_type': 'raw'}}, "out_type='raw'"),
        ({'temporal': 'max'}, "temporal='max'"),
        ({'vision': VIDEO_MAMBA, 'temporal': 'meen'}, "temporal='meen'"),
        (
            {'text': {**MAMBA_LM, 'config': {**MAMBA_LM['config'], 'vocab_size': 8}}},
            'tokenizer has 17 tokens and the text tower 8',
        ),
        ({'text': {'type': 'ClipText'}}, 'one of them'),
        ({'text': {'type': 'ClipText', 'config': {'width': 1}}}, 'no width'),
        ({'text': {'type': 'ClipText', 'checkpoint': 'no/where/at/all'}}, 'at no/where/at/all'),
    ],
)
def test_what_does_not_fit_is_named_when_it_is_built(arguments, message):
    with pytest.raises(UserError, match=message):
        build(tokenizer=word_tokenizer(), **arguments)
