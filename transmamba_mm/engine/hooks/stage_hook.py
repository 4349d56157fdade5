"""Run a transfer stage by stage."""

from copy import deepcopy
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.optim import Optimizer

from transmamba_mm.engine.optim.stage_schedule import shorten_schedule
from transmamba_mm.errors import UserError
from transmamba_mm.registry import HOOKS
from transmamba_mm.transfer.stages import Stage, stage_ends


@HOOKS.register_module()
class StageHook(Hook):
    """Enters each of the model's ``stages`` when its steps begin; other models are left alone.

    A stage starts with a new optimizer, which holds what the stage trains and nothing else, at the
    stage's learning rate, and with the config's ``param_scheduler`` from its beginning, shortened
    to the stage's share of the steps. A resumed training enters the stage of its checkpoint first.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Enter the first stage of a training."""
        if isinstance(runner.optim_wrapper, OptimWrapper) and _stages(runner):
            self._enter(runner, 0)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Enter the stage whose optimizer the checkpoint to resume has."""
        if runner._resume and isinstance(runner.optim_wrapper, OptimWrapper) and _stages(runner):
            # A checkpoint at the end of a stage was saved before the next began.
            self._enter(runner, _index(runner, max(checkpoint['meta']['iter'] - 1, 0)))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Enter the next stage where one begins."""
        if not _stages(runner):
            return
        index = _index(runner, runner.iter)
        if index != _unwrapped(runner).plan.current:
            self._enter(runner, index)

    def _enter(self, runner: Runner, index: int) -> None:
        model = _unwrapped(runner)
        stage: Stage = model.plan.stages[index]
        ends = stage_ends(model.plan.stages, runner.max_iters)
        first = [0, *ends][index]
        cfg = runner.cfg
        if 'optim_wrapper' not in cfg:
            raise UserError('stages need a Runner built from a config (Runner.from_cfg).')
        model.enter_stage(index)
        if is_model_wrapper(runner.model):  # it has counted which parameters get gradients
            runner.model = runner.wrap_model(cfg.get('model_wrapper_cfg'), model)
        optim = deepcopy(cfg.optim_wrapper)
        optim.optimizer.lr *= stage.lr_mult
        runner.optim_wrapper = runner.build_optim_wrapper(optim)
        _drop_frozen(runner.optim_wrapper.optimizer)
        runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
        runner.optim_wrapper.initialize_count_status(runner.model, runner.iter, runner.max_iters)
        schedule = cfg.get('param_scheduler') or []
        schedule = [schedule] if isinstance(schedule, dict) else schedule
        length = len(runner.train_dataloader)
        schedule = shorten_schedule(schedule, stage.share, ends[index] - first, length)
        runner.param_schedulers = runner.build_param_scheduler(schedule)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        runner.logger.info(
            f'Stage {index + 1} of {len(ends)}{f" ({stage.name})" if stage.name else ""}: steps '
            f'{first} to {ends[index]}, {trained:,} parameters are trained.'
        )


def _unwrapped(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _drop_frozen(optimizer: Optimizer) -> None:
    """Take out what mmengine's own constructor holds although it is not trained."""
    for group in optimizer.param_groups:
        group['params'] = [weight for weight in group['params'] if weight.requires_grad]
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group['params']]


def _stages(runner: Runner) -> list[Stage]:
    plan = getattr(_unwrapped(runner), 'plan', None)
    return plan.stages if plan is not None else []


def _index(runner: Runner, step: int) -> int:
    ends = stage_ends(_stages(runner), runner.max_iters)
    return next(index for index, end in enumerate(ends) if step < end)
