"""Every kind of feature that a distiller may compare, from both models of a transfer."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.transfer import test_retrieval_transfer as retrieval
from tests.transfer import test_vqa_transfer as vqa
from tests.transfer.small_models import batch, trained, vim_config, vit_config
from tests.transfer.test_activation_checkpointing import (
    by_mmengine,
    losses_and_gradients,
    mixers_by_mmengine,
    with_cp,
)
from tests.transfer.test_families import PAIRS, clips
from transmamba_mm.distillers import BaseDistiller
from transmamba_mm.errors import UserError
from transmamba_mm.models.layouts import layout_of
from transmamba_mm.registry import DISTILLERS, MODELS
from transmamba_mm.transfer import FeatureKind, LayerMatch, ModelMatch
from transmamba_mm.transfer.features.alignment import to_grid
from transmamba_mm.transfer.features.model_match import EmbeddingMatch

MIXERS = ['mixer_inputs', 'mixer_outputs']


@pytest.fixture(autouse=True, scope='module')
def distillers():
    """Distillers of someone else, for the time of these tests."""

    class Keeper(BaseDistiller):
        """Keeps the features."""

        def __init__(self, match, student, teacher=None, task_weight=1.0):
            super().__init__(match, task_weight, map(FeatureKind, student), _kinds(teacher))
            self.kept = None

        def forward(self, student, teacher):
            self.kept = student, teacher
            return {}

    class MixerMSE(BaseDistiller):
        """The example of ``BaseDistiller``."""

        def __init__(self, match, task_weight=0.5):
            super().__init__(match, task_weight, {FeatureKind.MIXER_OUTPUTS})
            self.projectors = nn.ModuleList(
                nn.Linear(layer.student_dims, layer.teacher_dims) for layer in match.layers
            )

        def compare_features(self, student, teacher):
            losses = [
                F.mse_loss(project(ours.patches), to_grid(theirs.patches, theirs.grid, ours.grid))
                for project, ours, theirs in zip(
                    self.projectors, student.mixer_outputs, teacher.mixer_outputs, strict=True
                )
            ]
            return {'mixer_loss': torch.stack(losses).mean()}

    for distiller in (Keeper, MixerMSE):
        DISTILLERS.register_module(module=distiller)
    yield
    for distiller in (Keeper, MixerMSE):
        del DISTILLERS.module_dict[distiller.__name__]


def _kinds(names):
    return None if names is None else map(FeatureKind, names)


def build(student, teacher, layer_map='uniform', /, **distiller):
    torch.manual_seed(0)
    model = MODELS.build(
        {
            'type': 'KnowledgeTransfer',
            'student': student,
            'teacher': {'model': trained(teacher)},
            'distiller': {'type': 'Keeper', **distiller},
            'layer_map': layer_map,
        }
    )
    model.init_weights()
    return model


@torch.no_grad()
def run(model, data):
    """The features, and the prepared data."""
    data = model.data_preprocessor(data, training=True)
    model.eval()(**data, mode='loss')
    return *model.distiller.kept, data


def hooked(module, act):
    """Inputs and output of a module by a plain hook."""
    calls = []
    hook = module.register_forward_hook(lambda _, args, output: calls.append((args, output)))
    with torch.no_grad():
        act()
    hook.remove()
    return calls[-1]


@pytest.mark.parametrize('extra', [[], ['direction_features']], ids=['alone', 'with directions'])
@pytest.mark.parametrize('pair', PAIRS)
def test_mixers_of_students_and_teachers_are_those_of_plain_hooks(pair, extra):
    model = build(*PAIRS[pair], student=[*MIXERS, *extra], teacher=MIXERS)
    ours, theirs, data = run(model, batch())
    sides = (
        (ours, model.student, 'student'),
        (theirs, model.teacher.model, 'teacher'),
    )
    for features, side, name in sides:
        layout = layout_of(side.backbone)
        grids = layout.layer_grids((8, 8))
        for i, match in enumerate(model.match.layers):
            layer = getattr(match, name)
            mixer = side.backbone.get_submodule(layout.mixer_paths()[layer])
            args, output = hooked(mixer, lambda side=side: side(data['inputs']))
            for feature, value in (
                (features.mixer_inputs[i], args[0]),
                (features.mixer_outputs[i], output),
            ):
                assert feature.grid == grids[layer]
                patches, cls = layout.to_canonical(value, feature.grid)
                torch.testing.assert_close(feature.patches, patches, atol=1e-4, rtol=1e-4)
                assert (feature.cls is None) is (cls is None)
                if cls is not None:
                    torch.testing.assert_close(feature.cls, cls, atol=1e-4, rtol=1e-4)
    for i, mixed in enumerate(ours.mixer_outputs if extra else ()):
        total = ours.direction_features[i].patches.sum(1)
        torch.testing.assert_close(mixed.patches, total, atol=1e-4, rtol=1e-4)


def test_parts_of_a_layer_are_compared_with_what_is_behind_each():
    kinds = ['layer_features', *MIXERS]
    parts = ['attention of 1', 'mlp of 0', 1]
    model = build(vim_config(), vit_config(), parts, student=kinds)
    assert [match.part.value for match in model.match.layers] == ['attention', 'mlp', 'layer']
    ours, theirs, data = run(model, batch())
    layers = model.teacher.model.backbone.layers
    act = lambda: model.teacher.model(data['inputs'])  # noqa: E731
    middle = hooked(layers[1].ln2, act)[0][0]
    (before,), read = hooked(layers[0].ln2, act)
    behind = [middle, hooked(layers[0], act)[1], hooked(layers[1], act)[1]]
    inputs = [hooked(layers[1].ln1, act)[1], read, hooked(layers[1].ln1, act)[1]]
    outputs = [hooked(layers[1].attn, act)[1], behind[1] - before, hooked(layers[1].attn, act)[1]]
    for kind, expected in zip(kinds, (behind, inputs, outputs), strict=True):
        assert len(getattr(ours, kind)) == 3
        for feature, value in zip(getattr(theirs, kind), expected, strict=True):
            torch.testing.assert_close(feature.patches, value[:, 1:])
            torch.testing.assert_close(feature.cls, value[:, 0])


def test_an_mlp_has_no_attention_maps():
    kinds = {'student': ['layer_features'], 'teacher': ['attention_maps']}
    build(vim_config(), vit_config(), ['attention of 0', None, None], **kinds)
    with pytest.raises(UserError, match='MLP'):
        build(vim_config(), vit_config(), ['attention of 0', 'mlp of 0', None], **kinds)


def test_mixers_of_a_per_frame_teacher_are_in_the_order_of_the_clip():
    model = build(*PAIRS['videomamba-vit'], student=MIXERS, teacher=[*MIXERS, 'attention_maps'])
    ours, theirs, data = run(model, clips())
    assert ours.mixer_inputs[0].patches.shape == (8, 64, 16)
    attention = model.teacher.model.backbone.layers[0].attn
    frame = data['inputs'][:, :, 2]
    (hidden,), output = hooked(attention, lambda: model.teacher.model(frame))
    torch.testing.assert_close(theirs.mixer_inputs[0].patches[:, 32:48], hidden[:, 1:])
    torch.testing.assert_close(theirs.mixer_outputs[0].patches[:, 32:48], output[:, 1:])
    assert theirs.mixer_inputs[0].grid == (4, 4, 4)
    assert theirs.attention_maps[0].shape == (32, 2, 17, 17)  # a map of each frame


def test_attention_maps_of_the_teacher_alone():
    model = build(*PAIRS['vim-vit'], student=['layer_features'], teacher=['attention_maps'])
    ours, theirs, _ = run(model, batch())
    assert not ours.attention_maps and not theirs.layer_features
    assert [m.shape for m in theirs.attention_maps] == [(8, 2, 17, 17)] * 3
    torch.testing.assert_close(theirs.attention_maps[0].sum(-1), torch.ones(8, 2, 17))
    with pytest.raises(UserError, match='Vim has no attention maps'):
        build(*PAIRS['vim-vit'], student=['attention_maps'])


@pytest.mark.parametrize('head', ['VisionTransformerClsHead', 'LinearClsHead'])
def test_embeddings_of_classifiers_are_what_their_heads_read(head):
    teacher = vit_config()
    teacher['head']['type'] = head
    model = build(vim_config(), teacher, student=['embeddings', 'logits'])
    assert model.match.embeddings == [EmbeddingMatch('backbone', 16, 24)]
    ours, theirs, _ = run(model, batch())
    assert ours.embeddings['backbone'].shape == (8, 16)
    assert theirs.embeddings['backbone'].shape == (8, 24)
    layer = model.teacher.model.head
    layer = layer.fc if head == 'LinearClsHead' else layer.layers.head
    with torch.no_grad():
        torch.testing.assert_close(layer(theirs.embeddings['backbone']), theirs.logits)
        found = model.student.head.fc(ours.embeddings['backbone'])
    torch.testing.assert_close(found, ours.logits)


def test_embeddings_of_clips_are_the_mean_over_frames():
    model = build(*PAIRS['videomamba-vit'], student=['embeddings', 'logits'])
    _, theirs, _ = run(model, clips())
    with torch.no_grad():
        logits = model.teacher.model.head.layers.head(theirs.embeddings['backbone'])
    torch.testing.assert_close(logits, theirs.logits)


@retrieval.every_student
def test_embeddings_of_retrievers_are_their_unit_vectors(vision):
    distiller = {'type': 'Keeper', 'student': ['embeddings']}
    model = retrieval.build(vision, distiller=distiller)
    assert model.match.embeddings == [EmbeddingMatch(t, 10, 10) for t in ('vision', 'text')]
    ours, theirs, data = run(model, retrieval.batch())
    for features, part in ((ours, model.student), (theirs, model.teacher.model)):
        with torch.no_grad():
            videos, texts = part.encode_video(data['inputs']), part.encode_text(retrieval.TEXTS)
        torch.testing.assert_close(features.embeddings['vision'], videos)
        torch.testing.assert_close(features.embeddings['text'], texts)


def test_embeddings_of_language_models_predict_the_answers():
    distiller = {'type': 'Keeper', 'student': ['embeddings', 'logits', *MIXERS]}
    model = vqa.build(distiller=distiller)
    assert model.match.embeddings == [EmbeddingMatch('language', 24, 24)]
    ours, theirs, _ = run(model, vqa.batch())
    heads = model.student.language.lm_head, model.teacher.model.model.lm_head
    for features, head in zip((ours, theirs), heads, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(head(features.embeddings['language']), features.logits)
    for kind in MIXERS:
        tokens = [[f.patches.shape for f in getattr(side, kind)] for side in (ours, theirs)]
        assert tokens[0] == tokens[1] and len(tokens[0]) == 4
        assert [f.grid for f in getattr(ours, kind)] == [f.grid for f in getattr(theirs, kind)]


def test_other_vocabularies_leave_logits_and_embeddings_out():
    teacher = vqa.llava(tokenizer=vqa.OTHER_WORDS)
    kinds = ['embeddings', 'logits', 'mixer_inputs']
    model = vqa.build(teacher=teacher, distiller={'type': 'Keeper', 'student': kinds})
    assert model.distiller.student_kinds == {FeatureKind.MIXER_INPUTS}
    ours, _, _ = run(model, vqa.batch())
    assert ours.logits is None and not ours.embeddings and len(ours.mixer_inputs) == 4
    with pytest.raises(
        UserError, match=r'embeddings alone, but .* different vocabularies \(15 and 16'
    ):
        vqa.build(teacher=teacher, distiller={'type': 'Keeper', 'student': ['embeddings']})


def test_attention_maps_of_a_llava():
    distiller = {'type': 'Keeper', 'student': ['layer_features'], 'teacher': ['attention_maps']}
    model = vqa.build(distiller=distiller)
    _, theirs, _ = run(model, vqa.batch())
    shapes = [m.shape for m in theirs.attention_maps]
    assert shapes[:2] == [(3, 2, 17, 17)] * 2 and len(shapes) == 4
    longest = theirs.attention_maps[2][2]  # the one row without padding
    assert torch.equal(longest, longest.tril())
    torch.testing.assert_close(longest.sum(-1), torch.ones(longest.shape[:2]))


@pytest.mark.parametrize('way', [with_cp, by_mmengine])
@pytest.mark.parametrize('pair', ['vim-vit', 'plainmamba-vit', 'vmamba-vit', 'videomamba-vit'])
def test_a_loss_on_mixers_has_the_same_gradients_with_activation_checkpointing(pair, way):
    models = [build(*PAIRS[pair], type='MixerMSE') for _ in range(2)]
    if way is by_mmengine:
        way = mixers_by_mmengine  # around whole layers it keeps no graph of what is inside
    way(models[1])
    data = batch()
    (plain, expected), (logs, gradients) = (losses_and_gradients(m, data) for m in models)
    torch.testing.assert_close(logs, plain, rtol=0, atol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


@pytest.mark.parametrize('kind', MIXERS)
def test_mixers_inside_of_a_reentrant_checkpoint_are_refused(kind):
    model = build(*PAIRS['vim-vit'], student=[kind])
    by_mmengine(model)
    with pytest.raises(UserError, match=r'blocks\.0\.mixer.*with_cp=True'):
        losses_and_gradients(model, batch())


def test_a_distiller_of_someone_else_trains_and_its_transfer_can_be_copied():
    model = build(*PAIRS['vim-vit'], type='MixerMSE')
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses, data = [], batch()
    for _ in range(6):
        logs, _ = losses_and_gradients(model, data)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(logs['mixer_loss']))
    assert losses[-1] < losses[0]
    twin = copy.deepcopy(model)
    assert twin.reader is not model.reader and twin.teacher is model.teacher
    torch.testing.assert_close(
        losses_and_gradients(twin, data)[0], losses_and_gradients(model, data)[0]
    )


def test_a_match_and_a_reader_hold_no_weights():
    model = vqa.build()
    run_once = vqa.train(model, steps=1)
    assert run_once
    for part in (model.match, model.reader):
        saved = pickle.dumps(part)
        assert len(saved) < 10_000
        pickle.loads(saved)


def test_towers_without_embeddings_in_both_have_none_to_compare():
    class Headless(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = MODELS.build(vim_config()).backbone

    match = ModelMatch.of(Headless(), Headless(), 'uniform')
    assert not match.embeddings and FeatureKind.EMBEDDINGS in match.unavailable
    keys = {'student_key_dims': 4, 'teacher_key_dims': 4}
    assert match.layers[0] == LayerMatch(0, 0, 16, 16, 2, **keys)
