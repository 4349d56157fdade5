"""Build the Runner of a config, of the type in ``runner_type``."""

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from transmamba_mm.compat import format_configs_once
from transmamba_mm.errors import UserError
from transmamba_mm.launch.activation_checkpointing import checkpoint_activations
from transmamba_mm.launch.config_path import name_parts_in_errors
from transmamba_mm.launch.custom_keys import check_custom_keys
from transmamba_mm.launch.signed_config import sign_dumped


def build_runner(cfg: Config) -> Runner:
    """Build ``cfg.runner_type``, mmengine's ``Runner`` by default.

    The config that it writes into the work_dir is signed as the user's own. From here on an error
    that a part of the config raises while it is built names its place.

    Raises:
        UserError: Settings of another kind of runner; ``custom_keys`` of no parameter,
            ``activation_checkpointing`` of no module.
    """
    if cfg.get('runner_type') == 'FlexibleRunner' and cfg.get('compile'):
        raise UserError('compile is not read by a FlexibleRunner: remove it, or runner_type.')
    if cfg.get('strategy') is not None and cfg.get('runner_type', 'Runner') == 'Runner':
        raise UserError(
            f'strategy={dict(cfg.strategy)} is not read by a Runner: set '
            "runner_type='FlexibleRunner', or remove strategy."
        )
    name_parts_in_errors(cfg)
    format_configs_once()
    runner = RUNNERS.build(cfg)
    sign_dumped(runner)
    if not isinstance(runner.model, nn.Module):  # a FlexibleRunner would build it when it trains
        runner.model = runner.strategy.build_model(runner.model)
    check_custom_keys(cfg, runner.model)
    checkpoint_activations(runner.cfg, model_of(runner))
    return runner


def model_of(runner: Runner) -> nn.Module:
    """The model itself, without what wraps it for a distributed run."""
    return runner.model.module if runner.distributed else runner.model
