"""Clip4ClipTeacher embeds a still as CLIP does, and a clip as the mean of its frames."""

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel, LlamaConfig

from tests.models.retrieval.small_retrieval import (
    CLIP,
    CLIP_TEXT,
    CLIP_VISION,
    SIDE,
    clip_tokenizer,
    clips,
    samples,
    teacher,
    word_tokenizer,
)
from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.subcloning import TeacherWeights

TEXTS = ['a seven', 'one', '', 'b moves ☃']


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A CLIP with a tokenizer of its own, as save_pretrained writes them."""
    folder = tmp_path_factory.mktemp('clip')
    tokenizer = clip_tokenizer(folder)
    words = {'vocab_size': len(tokenizer), 'max_position_embeddings': 20}
    ends = {'bos_token_id': tokenizer.bos_token_id, 'eos_token_id': tokenizer.eos_token_id}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(**{**CLIP, 'text_config': {**CLIP_TEXT, **words, **ends}}))
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model, tokenizer


@torch.no_grad()
def test_equals_transformers_on_stills(checkpoint):
    folder, model, tokenizer = checkpoint
    ours = teacher(config=None, checkpoint=str(folder), tokenizer=None)
    images = clips(3, frames=1)[:, :, 0]
    inputs = tokenizer(TEXTS, padding=True, return_tensors='pt')
    theirs = model(**inputs, pixel_values=images)
    torch.testing.assert_close(
        ours(images, samples([TEXTS, [], []])), theirs.logits_per_text, atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(ours.encode_text(TEXTS), theirs.text_embeds, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.encode_video(images), theirs.image_embeds, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        ours.pool_text(ours.encode_tokens(TEXTS)[1]),
        model.get_text_features(**inputs).pooler_output,
        atol=1e-5,
        rtol=1e-4,
    )


@torch.no_grad()
def test_a_clip_is_the_mean_of_its_frames_unit_vectors(checkpoint):
    folder, model, _ = checkpoint
    ours = teacher(config=None, checkpoint=str(folder), tokenizer=None)
    found = ours.encode_video(clips(2), torch.tensor([[True] * 4, [True, True, False, False]]))
    for row, count in enumerate((4, 2)):
        frames = clips(2)[row].transpose(0, 1)[:count]
        features = F.normalize(model.get_image_features(frames).pooler_output, dim=-1)
        torch.testing.assert_close(found[row], F.normalize(features.mean(0), dim=-1))


@torch.no_grad()
def test_embeds_a_frame_as_the_mean_of_its_patches(checkpoint):
    folder, model, _ = checkpoint
    ours = teacher(config=None, checkpoint=str(folder), tokenizer=None, out_type='avg_featmap')
    images = clips(3, frames=1)[:, :, 0]
    tokens = model.vision_model(images, output_hidden_states=True).hidden_states[-1]
    patches = model.vision_model.post_layernorm(tokens[:, 1:].mean(1))
    expected = F.normalize(model.visual_projection(patches), dim=-1)
    torch.testing.assert_close(ours.encode_video(images), expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(expected, model.get_image_features(images).pooler_output, atol=0.1)


@torch.no_grad()
def test_other_sizes_interpolate_positions(checkpoint):
    folder, model, _ = checkpoint
    ours = teacher(config=None, checkpoint=str(folder), tokenizer=None)
    images = torch.randn(2, 3, SIDE, 2 * SIDE)
    expected = model.get_image_features(images, interpolate_pos_encoding=True).pooler_output
    torch.testing.assert_close(ours.encode_video(images), F.normalize(expected, dim=-1))
    with pytest.raises(UserError, match='patches of 4'):
        ours.encode_video(torch.randn(1, 3, SIDE, SIDE + 1))


def test_dtype_is_the_checkpoints_or_what_is_asked_for(tmp_path):
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(**CLIP)).to(torch.bfloat16).save_pretrained(tmp_path)
    arguments = {'config': None, 'checkpoint': str(tmp_path), 'tokenizer': word_tokenizer()}
    for dtype, expected in ((None, torch.bfloat16), ('float32', torch.float32)):
        model = teacher(dtype=dtype, **arguments)
        assert model.model.dtype == expected
        with torch.no_grad():
            found = model(clips(), samples(['a', 'b', 'one', 'two']))
        assert found.dtype == torch.float32 and found.isfinite().all()
    assert teacher(dtype='bfloat16').model.dtype == torch.bfloat16


def test_weights_of_its_towers_by_canonical_names():
    model = teacher()
    text, vision = (TeacherWeights.of(model, name).tensors for name in ('text', 'vision'))
    projection = model.model.text_projection.weight
    assert 'layers.0.attn.q.weight' in text and torch.equal(text['head.weight'], projection)
    assert {'cls_token', 'patch_embed.bias', 'head.weight'} <= vision.keys()


def test_invalid_arguments_are_named(tmp_path):
    with pytest.raises(UserError, match="out_type='cls'"):
        teacher(out_type='cls')
    with pytest.raises(UserError, match='one of them'):
        teacher(checkpoint='somewhere')
    LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="type 'llama', not a CLIP"):
        teacher(config=None, checkpoint=str(tmp_path))
    small = {**CLIP, 'text_config': {**CLIP_TEXT, 'vocab_size': 8}, 'vision_config': CLIP_VISION}
    with pytest.raises(UserError, match='17 tokens and the text tower 8'):
        teacher(config=small)


def test_starts_with_a_trained_vision_encoder_and_trains_it_on(tmp_path):
    torch.manual_seed(5)
    arguments = {'config': CLIP_VISION, 'out_type': 'cls_token'}
    encoder = MODELS.build({'type': 'ClipVision', **arguments})
    state = {f'backbone.{key}': value for key, value in encoder.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'encoder.pth')
    model = teacher(vision_checkpoint=str(tmp_path / 'encoder.pth'))
    images = clips(3, frames=1)[:, :, 0]
    torch.testing.assert_close(model.model.vision_model(images).pooler_output, encoder(images)[0])
    model(clips(), samples(['a', 'b', 'one', 'two']), mode='loss')['loss'].backward()
    assert model.model.vision_model.embeddings.class_embedding.grad.abs().sum() > 0
    with pytest.raises(UserError, match=r'encoder\.pth .*vision encoder'):
        other = {**CLIP, 'vision_config': {**CLIP_VISION, 'hidden_size': 8}}
        teacher(config=other, vision_checkpoint=str(tmp_path / 'encoder.pth'))
