"""Stage 1 on real models: the sources of the student's weights, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.transfer.small_models import trained, vim_config, vit_config
from tests.transfer.subcloning.subclone import lines_of, subclone
from transmamba_mm.errors import UserError
from transmamba_mm.models.backbones import Vim
from transmamba_mm.models.backbones.patch_embed import insert_tokens
from transmamba_mm.ops import causal_conv1d
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer import LayerMap, WeightSubcloning
from transmamba_mm.transfer.subcloning import TABLES, Axis, Clone, TeacherWeights

MIXER = 'backbone.blocks.0.mixer'


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def x_half(weights, layer=0):
    return weights[f'backbone.blocks.{layer}.mixer.in_proj.weight'].chunk(2)[0]


def value(weights, layer=0):
    return weights[f'layers.{layer}.attn.v.weight']


class TestEqualWidths:
    @pytest.mark.parametrize('expand', [1, 2, 3])
    def test_out_proj_after_value_is_what_it_was(self, expand):
        student = vim_config(dims=24, layers=4, backbone={'expand': expand})
        before, after, teacher, _ = subclone(student, vit_config(dims=24))
        for layer, source in ((0, 0), (1, 0), (2, 1), (3, 1)):
            out_proj = after[f'backbone.blocks.{layer}.mixer.out_proj.weight']
            proj = teacher[f'layers.{source}.attn.out.weight']
            composition = out_proj @ x_half(after, layer)
            torch.testing.assert_close(composition, proj @ value(teacher, source))
        z = f'{MIXER}.in_proj.weight'
        assert torch.equal(after[z].chunk(2)[1], before[z].chunk(2)[1])

    def test_layer_scale_is_folded_into_out_proj(self):
        teacher = vit_config(dims=16, layer_scale_init_value=0.5)
        _, after, teacher, report = subclone(vim_config(dims=16), teacher)
        gamma = teacher['layers.0.scale1']
        proj = gamma[:, None] * teacher['layers.0.attn.out.weight']
        out_proj = after[f'{MIXER}.out_proj.weight']
        torch.testing.assert_close(out_proj @ x_half(after), proj @ value(teacher))
        assert 'scale1' in lines_of(report)[f'{MIXER}.out_proj.weight'].slice

    def test_everything_outside_the_mixer_is_the_teachers(self):
        _, after, teacher, _ = subclone(vim_config(dims=24), vit_config(dims=24))
        for ours, theirs in {
            'patch_embed.proj.weight': 'patch_embed.weight',
            'patch_embed.proj.bias': 'patch_embed.bias',
            'cls_token': 'cls_token',
            'blocks.0.norm.weight': 'layers.0.norm1.weight',
            'blocks.2.norm.weight': 'layers.1.norm1.weight',
            'norm.weight': 'norm.weight',
        }.items():
            assert torch.equal(after[f'backbone.{ours}'], teacher[theirs])
        for name in ('weight', 'bias'):
            assert torch.equal(after[f'head.fc.{name}'], teacher[f'head.{name}'])

    def test_embeddings_of_both_models_agree_on_an_image(self):
        student, teacher = trained(vim_config(dims=24)), trained(vit_config(dims=24))
        subclone(student, teacher)
        images = torch.randn(2, 1, 8, 8)
        tokens = {}
        student.backbone.blocks[0].register_forward_pre_hook(
            lambda _, args: tokens.update(student=args[0])
        )
        teacher.backbone.layers[0].register_forward_pre_hook(
            lambda _, args: tokens.update(teacher=args[0])
        )
        student.eval()(images), teacher.eval()(images)
        patches, cls = student.backbone.to_canonical(tokens['student'], (4, 4))
        torch.testing.assert_close(patches, tokens['teacher'][:, 1:])
        torch.testing.assert_close(cls, tokens['teacher'][:, 0])

    def test_layer_norm_students_take_the_biases_too(self):
        student = vim_config(dims=24, backbone={'norm': 'layer'})
        _, after, teacher, _ = subclone(student, vit_config(dims=24))
        assert torch.equal(after['backbone.norm.bias'], teacher['norm.bias'])
        assert torch.equal(after['backbone.blocks.0.norm.bias'], teacher['layers.0.norm1.bias'])


class TestScan:
    def test_keeps_its_initialization_and_reports_the_reason(self):
        before, after, _, report = subclone(vim_config(), vit_config())
        lines = lines_of(report)
        for key in after:
            if '.fwd.' in key or '.bwd.' in key:
                assert torch.equal(after[key], before[key])
                assert lines[key].status == 'initialized' and lines[key].num_cloned == 0
        assert 'B and C' in lines[f'{MIXER}.fwd.x_proj.weight'].rule

    def test_mimic_lets_the_convolution_pass_its_input_on(self):
        student = trained(vim_config())
        before, after, _, report = subclone(student, vit_config(), mimic_scan=True)
        x = torch.randn(2, 5, 32)
        mixer = student.backbone.blocks[1].mixer
        for direction, reverse in ((mixer.fwd, False), (mixer.bwd, True)):
            conv = direction.conv
            out = causal_conv1d(x, conv.weight.squeeze(1), conv.bias, reverse=reverse)
            torch.testing.assert_close(out, x)
        changed = {key for key in after if not torch.equal(after[key], before[key])}
        assert not any('dt_proj' in key or 'x_proj' in key or 'A_log' in key for key in changed)
        line = lines_of(report)[f'{MIXER}.fwd.conv.weight']
        assert line.status == 'mimic' and 'passes its input on' in line.rule


class TestWidths:
    def test_the_same_channels_in_every_tensor(self):
        _, after, teacher, report = subclone(vim_config(dims=16), vit_config(dims=24))
        (kept,) = report.residual_channels.values()
        assert len(kept) == 16 and kept == sorted(set(kept))
        for ours, theirs in {
            'patch_embed.proj.weight': 'patch_embed.weight',
            'blocks.1.norm.weight': 'layers.1.norm1.weight',
            'norm.weight': 'norm.weight',
        }.items():
            assert torch.equal(after[f'backbone.{ours}'], teacher[theirs][kept])
        assert torch.equal(after['backbone.cls_token'], teacher['cls_token'][..., kept])
        # Fan-ins are rescaled as a whole, so they are compared by their direction.
        tiles = x_half(after)  # (32, 16): all 24 values, then the 8 most important again
        for ours, theirs in (
            (tiles[:24], value(teacher)[:, kept]),
            (after['head.fc.weight'], teacher['head.weight'][:, kept]),
        ):
            similarity = nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)
            assert similarity == pytest.approx(1, abs=1e-5)
        assert lines_of(report)[f'{MIXER}.in_proj.weight'].status == 'sliced'

    def test_planted_large_channels_are_kept(self):
        teacher = trained(vit_config(dims=24))
        planted = [1, 4, 5, 9, 12, 13, 20, 23]
        with torch.no_grad():
            for layer in teacher.backbone.layers:
                layer.attn.qkv.weight[:, planted] *= 5
                layer.attn.proj.weight[planted] *= 5
                layer.ffn.layers[0][0].weight[:, planted] *= 5
                layer.ffn.layers[1].weight[planted] *= 5
        *_, report = subclone(vim_config(dims=8), teacher)
        assert report.residual_channels == {'24 -> 8': planted}

    def test_inner_channels_of_value_and_output_are_the_same(self):
        teacher = trained(vit_config(dims=24))
        planted = list(range(0, 24, 3))
        with torch.no_grad():
            teacher.backbone.layers[0].attn.qkv.weight[[48 + i for i in planted]] *= 9
            teacher.backbone.layers[0].attn.proj.weight[:, planted] *= 9
        student = vim_config(dims=8, layers=2, backbone={'expand': 1})
        _, after, weights, report = subclone(student, teacher)
        (kept,) = report.residual_channels.values()
        x = value(weights)[planted][:, kept]
        out = weights['layers.0.attn.out.weight'][kept][:, planted]
        for ours, theirs in ((x_half(after), x), (after[f'{MIXER}.out_proj.weight'], out)):
            similarity = nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)
            assert similarity == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize('expand', [1, 2])
    def test_activations_keep_their_variance(self, expand):
        student = trained(vim_config(dims=64, layers=2, backbone={'expand': expand}))
        teacher = trained(vit_config(dims=128, layers=2))
        with torch.no_grad():  # a linear path: the values, and what the mixer writes of them
            for layer in teacher.backbone.layers:
                nn.init.normal_(layer.attn.qkv.weight)
                nn.init.normal_(layer.attn.proj.weight)
        _, after, weights, report = subclone(student, teacher)
        stream = torch.randn(4000, 128)
        values = stream @ value(weights).T
        x = stream[:, report.residual_channels['128 -> 64']] @ x_half(after).T
        if expand == 2:  # as many inner channels as the teacher has; else the largest are kept
            assert x.var(0).mean() / values.var(0).mean() == pytest.approx(1, abs=0.03)
        written = values @ weights['layers.0.attn.out.weight'].T
        ours = x @ after[f'{MIXER}.out_proj.weight'].T
        assert ours.var(0).mean() / written.var(0).mean() == pytest.approx(1, abs=0.1)

    def test_wider_students_are_padded_with_their_own_initialization(self):
        before, after, teacher, report = subclone(vim_config(dims=32), vit_config(dims=24))
        assert report.residual_channels == {'24 -> 32': list(range(24))}
        for ours, theirs in (
            ('backbone.norm.weight', 'norm.weight'),
            ('backbone.cls_token', 'cls_token'),
            ('head.fc.weight', 'head.weight'),
        ):
            assert torch.equal(after[ours][..., :24], teacher[theirs])
            assert torch.equal(after[ours][..., 24:], before[ours][..., 24:])
            assert lines_of(report)[ours].status == 'padded'
        assert torch.equal(x_half(after)[:, 24:], x_half(before)[:, 24:])
        # Inner channels are tiled, not padded: 64 of 24.
        out_proj = after[f'{MIXER}.out_proj.weight']
        proj = teacher['layers.0.attn.out.weight']
        torch.testing.assert_close((out_proj @ x_half(after))[:24, :24], proj @ value(teacher))
        assert torch.equal(out_proj[24:], before[f'{MIXER}.out_proj.weight'][24:])

    def test_stability_keeps_what_fine_tuning_left_alone(self, tmp_path):
        teacher = trained(vit_config(dims=24))
        pretrained = {key: value.clone() for key, value in teacher.state_dict().items()}
        stable = [0, 3, 7, 8, 11, 16, 19, 22]
        moved = [i for i in range(24) if i not in stable]
        with torch.no_grad():
            for layer in teacher.backbone.layers:
                layer.attn.qkv.weight[:, moved] += 0.3 * torch.randn(72, 16)
                layer.ffn.layers[1].weight[moved] += 0.3 * torch.randn(16, 48)
        pretrained['head.layers.head.weight'] = torch.randn(21, 24)  # had other classes
        torch.save({'state_dict': pretrained}, tmp_path / 'pretrained.pth')
        for source in (pretrained, str(tmp_path / 'pretrained.pth')):
            kwargs = {'importance': 'stability', 'pretrained': source}
            *_, report = subclone(vim_config(dims=8), teacher, **kwargs)
            assert report.residual_channels == {'24 -> 8': stable}


class TestTokens:
    @pytest.mark.parametrize(
        'cls_position, places', [('middle', [8]), ('first', [0]), ('both', [0, 17]), ('none', [])]
    )
    def test_cls_entry_goes_with_the_cls_token(self, cls_position, places):
        student = vim_config(dims=24, backbone={'cls_position': cls_position})
        _, after, teacher, _ = subclone(student, vit_config(dims=24))
        theirs = teacher['pos_embed']
        ours = after['backbone.pos_embed'][0]
        assert all(torch.equal(ours[place], theirs[0, 0]) for place in places)
        rest = [i for i in range(len(ours)) if i not in places]
        assert torch.equal(ours[rest], theirs[0, 1:])
        assert ('backbone.cls_token' in after) == bool(places)
        if places:
            cls = teacher['cls_token'].expand(1, len(places), 24)
            assert torch.equal(after['backbone.cls_token'], cls)

    def test_positions_follow_the_grid(self):
        student = trained(vim_config(dims=24, img_size=16, backbone={'cls_position': 'middle'}))
        teacher = trained(vit_config(dims=24))
        rows, cols = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing='ij')
        with torch.no_grad():
            teacher.backbone.pos_embed[0, 1:, 0] = rows.flatten()
            teacher.backbone.pos_embed[0, 1:, 1] = cols.flatten()
        _, after, weights, report = subclone(student, teacher)
        ours = after['backbone.pos_embed']
        assert torch.equal(ours[0, 32], weights['pos_embed'][0, 0])
        patches, _ = student.backbone.to_canonical(ours, (8, 8))
        grid = patches[0].view(8, 8, 24)
        assert (grid[1:-1, :, 0].diff(dim=0) > 0).all() and (grid[:, 1:-1, 1].diff(dim=1) > 0).all()
        line = lines_of(report)['backbone.pos_embed']
        assert line.status == 'resized' and line.slice == 'grid 4x4 to 8x8; cls to entry 32'

    def test_grids_that_are_not_square(self):
        student = vim_config(dims=24, img_size=(8, 18))
        teacher = trained(vit_config(dims=24, img_size=(8, 18)))  # 4 x 9, as many as 6 x 6
        _, after, weights, _ = subclone(student, teacher)
        expected = insert_tokens(weights['pos_embed'][:, 1:], weights['pos_embed'][:, :1], [18])
        assert torch.equal(after['backbone.pos_embed'], expected)
        alone = trained(student)
        teacher = replace(TeacherWeights.of(teacher, 'backbone'), grid=None)
        WeightSubcloning().apply(alone, teacher)
        assert torch.equal(alone.backbone.pos_embed, expected)
        with pytest.raises(UserError, match=r'positions.*pos_embed.*grid'):
            odd = TeacherWeights.of(trained(vit_config(dims=24, img_size=(8, 6))), 'backbone')
            WeightSubcloning().apply(trained(student), replace(odd, grid=None))

    def test_distilled_teacher_gives_both_tokens_to_two_and_cls_to_one(self):
        config = vit_config(dims=24)
        config['backbone']['type'] = 'DistilledVisionTransformer'
        config['head']['type'] = 'DeiTClsHead'
        teacher = trained(config)
        weights = TeacherWeights.of(teacher, 'backbone').tensors
        both = trained(vim_config(dims=24, backbone={'cls_position': 'both'}))
        report = WeightSubcloning().apply(both, teacher)
        tokens = torch.cat([weights['cls_token'], weights['dist_token']], dim=1)
        assert torch.equal(both.backbone.cls_token, tokens)
        assert 'dist_token' not in report.unused
        assert torch.equal(both.backbone.pos_embed[0, [0, 17]], weights['pos_embed'][0, :2])
        one = trained(vim_config(dims=24))
        report = WeightSubcloning().apply(one, teacher)
        assert {'dist_token', 'head_dist.weight'} <= set(report.unused)
        assert torch.equal(one.backbone.cls_token, tokens[:, :1])
        assert torch.equal(one.backbone.pos_embed[0, 8], weights['pos_embed'][0, 0])
        assert torch.equal(one.backbone.pos_embed[0, 9], weights['pos_embed'][0, 10])
        assert torch.equal(one.head.fc.weight, weights['head.weight'])

    def test_cls_entry_keeps_its_own_where_the_teacher_has_none(self):
        teacher = vit_config(dims=24, with_cls_token=False, out_type='avg_featmap')
        before, after, weights, report = subclone(vim_config(dims=24), teacher)
        line = lines_of(report)['backbone.cls_token']
        assert (line.status, line.rule) == ('initialized', 'the teacher has no cls token')
        ours, old = after['backbone.pos_embed'][0], before['backbone.pos_embed'][0]
        assert torch.equal(ours[8], old[8])
        assert torch.equal(ours[9:], weights['pos_embed'][0, 8:])

    def test_patch_size_differs(self):
        student = vim_config(dims=24, patch=4, img_size=16)
        _, after, teacher, report = subclone(student, vit_config(dims=24, patch=2))
        ours = after['backbone.patch_embed.proj.weight']
        theirs = teacher['patch_embed.weight']
        torch.testing.assert_close(ours.sum((-2, -1)), theirs.sum((-2, -1)))
        line = lines_of(report)['backbone.patch_embed.proj.weight']
        assert line.status == 'resized' and 'patch 2x2 to 4x4' in line.slice


class TestLayerMaps:
    def test_unmapped_layers_keep_their_initialization(self):
        before, after, teacher, report = subclone(
            vim_config(dims=24, layers=4), vit_config(dims=24), layer_map=[None, 1, None, 0]
        )
        lines = lines_of(report)
        for layer, source in ((1, 1), (3, 0)):
            key = f'backbone.blocks.{layer}.norm.weight'
            assert torch.equal(after[key], teacher[f'layers.{source}.norm1.weight'])
            assert lines[key].teacher == f'layers.{source}.norm1.weight'
        for layer in (0, 2):
            for key in (key for key in after if f'.blocks.{layer}.' in key):
                assert torch.equal(after[key], before[key])
                assert lines[key].status == 'initialized'
        assert 'layer map' in lines['backbone.blocks.0.norm.weight'].rule

    def test_first_n_is_selective(self):
        *_, report = subclone(
            vim_config(layers=4), vit_config(), layer_map={'kind': 'first_n', 'n': 1}
        )
        status = {key: line.status for key, line in lines_of(report).items()}
        assert status['backbone.blocks.0.norm.weight'] == 'sliced'
        assert all(status[f'backbone.blocks.{i}.norm.weight'] == 'initialized' for i in (1, 2, 3))
        assert status['backbone.patch_embed.proj.bias'] == 'sliced'

    def test_layer_map_of_the_wrong_length(self):
        with pytest.raises(UserError, match='student has 3 layers'):
            subclone(vim_config(), vit_config(), layer_map=LayerMap([0, 1]))


class TestReport:
    @pytest.mark.parametrize('backbone', [{}, {'shared_projections': True}, {'norm': 'layer'}])
    def test_every_parameter_has_exactly_one_line(self, backbone, tmp_path):
        student = trained(vim_config(backbone=backbone))
        before, after, teacher, report = subclone(student, vit_config(), skip=['head.*'])
        names = dict(student.named_parameters())
        assert [line.student for line in report.lines] == list(names)
        for line in report.lines:
            assert line.shape == tuple(names[line.student].shape)
            changed = not torch.equal(before[line.student], after[line.student])
            assert changed == (line.num_cloned > 0)
            assert (line.teacher is not None) == (line.num_cloned > 0)
            assert line.num_cloned <= line.num_weights
        used = {line.teacher for line in report.lines if line.teacher}
        assert used | set(report.unused) == set(teacher) and not used & set(report.unused)
        report.save(tmp_path / 'report.json')
        assert len(json.loads((tmp_path / 'report.json').read_text())['lines']) == len(names)

    def test_number_of_cloned_weights_is_what_changed(self):
        before, after, _, report = subclone(vim_config(dims=32), vit_config(dims=24))
        for line in report.lines:
            changed = (before[line.student] != after[line.student]).sum()
            assert line.num_cloned == changed, line.student


class TestMistakes:
    def test_other_classes(self):
        student = vim_config(classes=7)
        with pytest.raises(
            UserError,
            match=r'head.weight \(10, 24\).*head.fc.weight.*10 classes against 7',
        ):
            subclone(student, vit_config())
        *_, report = subclone(student, vit_config(), skip=['head.fc.*'])
        assert lines_of(report)['head.fc.bias'].status == 'skipped'

    def test_other_image_channels(self):
        teacher = vit_config(in_channels=3)
        with pytest.raises(
            UserError,
            match=r'patch_embed.weight.*patch_embed.proj.weight.*3 image channels',
        ):
            subclone(vim_config(), teacher)

    def test_a_head_behind_a_hidden_layer(self):
        teacher = vit_config()
        teacher['head']['hidden_dim'] = 40
        with pytest.raises(UserError, match=r'head.weight \(10, 40\).*head.fc.weight'):
            subclone(vim_config(), teacher)

    def test_weights_of_another_family(self):
        with pytest.raises(UserError, match='Vim has no canonical weights'):
            subclone(vim_config(), trained(vim_config(dims=24)))

    def test_a_teacher_that_lacks_a_tensor(self):
        teacher = TeacherWeights.of(trained(vit_config()), 'backbone')
        del teacher.tensors['layers.1.attn.out.weight']
        with pytest.raises(UserError, match=r'layers.1.attn.out.weight.*blocks.*out_proj'):
            WeightSubcloning().apply(trained(vim_config()), teacher)

    def test_a_rule_about_nothing(self):
        rule = Clone('gate', 'gate', 'norm.weight', (Axis.RESIDUAL,))
        stock = TABLES[Vim]
        table = replace(stock, rules=(*stock.rules, rule))
        TABLES[Vim] = stock
        with pytest.raises(UserError, match=r"'gate'.*norm.weight.*gate"):
            subclone(vim_config(), vit_config(), table=table)

    def test_a_skip_pattern_about_nothing(self):
        with pytest.raises(UserError, match=r"'haed.\*'.*'head.fc"):
            subclone(vim_config(), vit_config(), skip=['haed.*'])

    def test_a_student_of_somebody_else(self):
        with pytest.raises(UserError, match='VisionTransformer'):
            subclone(vit_config(), vit_config())

    @pytest.mark.parametrize(
        'config, message',
        [
            ({'importance': 'size'}, 'choose one of magnitude, stability'),
            ({'importance': 'stability'}, 'belong together'),
            ({'pretrained': 'some.pth'}, 'belong together'),
            ({'layer_map': 'first'}, 'choose one of uniform'),
        ],
    )
    def test_wrong_configs(self, config, message):
        with pytest.raises(UserError, match=message):
            MODELS.build({'type': 'WeightSubcloning', **config})
