"""The contract of student backbones; a family's test class inherits this and names its model."""

import copy

import pytest
import torch
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.registry import MODELS


class BackboneContract:
    """Set ``config`` to a small model's config, and ``in_channels`` if it is not 3."""

    config: dict
    in_channels = 3
    image_size = (32, 32)
    other_size = (32, 48)

    def build(self, **overrides):
        torch.manual_seed(0)
        model = MODELS.build({**self.config, **overrides})
        model.init_weights()
        return model.eval()

    def images(self, size=None, batch=2) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(batch, self.in_channels, *(size or self.image_size), generator=generator)

    def test_checkpoint_round_trip(self, tmp_path):
        model = self.build()
        torch.save(model.state_dict(), tmp_path / 'model.pth')
        torch.manual_seed(7)
        other = MODELS.build(self.config)
        other.load_state_dict(torch.load(tmp_path / 'model.pth', weights_only=True))
        images = self.images()
        assert torch.equal(model(images)[-1], other.eval()(images)[-1])

    def test_pretrained_weights_in_any_tool_are_its_own_or_refused(self, tmp_path):
        """mmengine only logs a mismatch, and trains from random weights."""
        own, file = self.build().state_dict(), str(tmp_path / 'model.pth')
        init = {'type': 'Pretrained', 'checkpoint': file}

        def begin(weights, **more):
            torch.save({'state_dict': weights}, file)
            model = MODELS.build({**self.config, 'init_cfg': {**init, **more}})
            model.init_weights()
            return model.state_dict()

        inner = {f'backbone.{key}': value for key, value in own.items()}
        for begun in (begin(own), begin(inner, prefix='backbone.')):
            assert all(torch.equal(begun[key], own[key]) for key in own)
        for weights, says in [
            (inner, r"prefix='backbone\.'"),
            ({'conv1.weight': torch.ones(3, 3)}, 'conv1.weight'),
            ({'visual.transformer.resblocks.0.ln_1.weight': torch.ones(3)}, 'CLIP in OpenAI'),
        ]:
            with pytest.raises(UserError, match=says) as error:
                begin(weights)
            assert file in str(error.value) and 'init_cfg' in str(error.value)

    def test_init_weights_leaves_no_parameter_undefined(self):
        model = self.build()
        assert all(parameter.isfinite().all() for parameter in model.parameters())

    @pytest.mark.parametrize('out_type', ['raw', 'featmap', 'avg_featmap'])
    def test_out_types_and_indices(self, out_type):
        model = self.build(out_type=out_type, out_indices=[0, -1])
        grids = model.layer_grids(self.image_size)
        dims = model.layer_dims()
        outs = model(self.images())
        assert len(outs) == 2
        for out, grid, width in zip(outs, (grids[0], grids[-1]), (dims[0], dims[-1]), strict=True):
            if out_type == 'featmap':
                assert out.shape == (2, width, *grid)
            elif out_type == 'avg_featmap':
                assert out.shape == (2, width)
            else:
                assert out.shape[0] == 2 and out.shape[2] == width
                assert out.shape[1] >= grid[0] * grid[1]

    def test_dynamic_input_size(self):
        model = self.build(out_type='featmap')
        out = model(self.images(self.other_size))[-1]
        assert out.shape[2:] == model.layer_grids(self.other_size)[-1]
        assert out.isfinite().all()

    def test_unknown_arch_and_out_type_are_user_errors(self):
        for wrong in ({'arch': 'gigantic'}, {'out_type': 'nonsense'}):
            with pytest.raises(UserError, match='choose one of'):
                self.build(**wrong)

    def test_out_index_out_of_range_is_a_user_error(self):
        with pytest.raises(UserError, match='out_indices'):
            self.build(out_indices=99)

    def test_image_that_patches_do_not_cover_is_a_user_error(self):
        with pytest.raises(UserError, match='not covered'):
            self.build()(self.images((33, 32)))

    def test_directions_are_permutations(self):
        order = self.build().directions((3, 5))
        assert order.dtype == torch.long
        expected = torch.arange(15).expand_as(order)
        assert torch.equal(order.sort(dim=1).values, expected)

    def test_layer_features_in_canonical_order_follow_the_image(self):
        """A change in one corner of the image moves that corner's canonical token the most."""
        model = self.build()
        grid = model.layer_grids(self.image_size)[0]
        seen = {}
        block = model.get_submodule(model.layer_paths()[0])
        block.register_forward_hook(lambda _m, _i, out: seen.update(out=out))
        images = self.images(batch=1)
        model(images)
        before, _ = model.to_canonical(seen['out'], grid)
        images[..., -2:, :2] += 5.0  # bottom left
        model(images)
        after, _ = model.to_canonical(seen['out'], grid)
        change = (after - before).norm(dim=-1)[0]
        assert before.shape == (1, grid[0] * grid[1], model.layer_dims()[0])
        assert change.argmax() == (grid[0] - 1) * grid[1]

    def test_direction_features_sum_to_the_mixer_output(self):
        model = self.build().double()
        seen = {}
        tap = model.get_submodule(model.direction_paths()[0])
        block = model.get_submodule(model.layer_paths()[0])
        mixer = block.ss2d if hasattr(block, 'ss2d') else block.mixer
        mixer.register_forward_hook(lambda _m, _i, out: seen.update(mixer=out))
        images = self.images().double()
        plain = model(images)[-1]
        merged = seen['mixer']
        assert not tap.watched
        handle = tap.register_forward_hook(lambda _m, _i, out: seen.update(tap=out))
        watched = model(images)[-1]
        handle.remove()
        grid = model.layer_grids(self.image_size)[0]
        assert seen['tap'].shape[1] == len(model.directions(grid))
        torch.testing.assert_close(seen['tap'].sum(1), merged.reshape(seen['tap'].sum(1).shape))
        torch.testing.assert_close(plain, watched)

    def test_layer_depths_grow_from_embedding_to_head(self):
        model = self.build()
        depths = {}
        for name, _ in model.named_parameters():
            depth, num_depths = model.get_layer_depth(f'backbone.{name}', prefix='backbone.')
            assert 0 <= depth < num_depths
            depths.setdefault(depth, []).append(name)
        assert any('patch_embed' in name for name in depths[0])
        assert len(depths) == num_depths
        assert model.get_layer_depth('head.fc.weight', prefix='backbone.')[0] == num_depths - 1

    def test_gradients_reach_every_parameter(self):
        model = self.build().train()
        model(self.images())[-1].square().sum().backward()
        missing = [n for n, p in model.named_parameters() if p.grad is None]
        assert not missing

    def gradients(self, model):
        """Gradients of a training step, and the bytes that its backward pass keeps."""
        kept = []
        torch.manual_seed(2)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: kept.append(tensor.nbytes) or tensor, lambda tensor: tensor
        ):
            model.train()(self.images())[-1].square().sum().backward()
        return {n: p.grad for n, p in model.named_parameters()}, sum(kept)

    def test_checkpointing_keeps_less_and_changes_no_gradient(self):
        plain, much = self.gradients(self.build(drop_path_rate=0.3))
        recomputed, little = self.gradients(self.build(drop_path_rate=0.3, with_cp=True))
        torch.testing.assert_close(recomputed, plain)
        assert little < much / 2
        model = self.build(with_cp=True)
        model.set_grad_checkpointing(False)
        assert not any(getattr(module, 'with_cp', False) for module in model.modules())

    def test_frozen_stages_are_neither_trained_nor_in_training_mode(self):
        model = self.build()
        last = model.max_frozen_stages
        assert all(p.requires_grad for p in model.parameters())
        model = self.build(frozen_stages=last).train()
        assert not any(p.requires_grad for p in model.parameters())
        for path in ['patch_embed', 'norm', *model.layer_paths()]:
            assert not model.get_submodule(path).training, path
        model = copy.deepcopy(self.build(frozen_stages=last - 1)).train()
        depths = {
            model.get_layer_depth(name)[0]: parameter.requires_grad
            for name, parameter in model.named_parameters()
        }
        assert not depths[0] and not depths[1]
        assert depths[model.num_layers] and depths[model.num_layers + 1]
        before = {name: value.clone() for name, value in model.state_dict().items()}
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(self.images())[-1].square().sum().backward()
        optimizer.step()
        changed = {n for n, value in model.state_dict().items() if not before[n].equal(value)}
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        for path, module in model.named_modules():
            if module.training:
                trained |= {f'{path}.{name}' for name, _ in module.named_buffers(recurse=False)}
        assert changed and changed <= trained
        with pytest.raises(UserError, match=rf'frozen_stages={last + 1}.* {last}'):
            self.build(frozen_stages=last + 1)

    def test_norm_eval_keeps_batch_norms_in_evaluation(self):
        model = self.build(norm_eval=True).train()
        norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert model.training and not any(norm.training for norm in norms)
