"""Save the HF configs and tokenizers that a model needs besides its weights."""

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from transmamba_mm.registry import HOOKS


@HOOKS.register_module()
class SaveHFAssetsHook(Hook):
    """Writes config.json and tokenizer of the checkpoints a model is made from into the work_dir.

    Of a transfer, those of the student. With them ``tools/test.py`` and ``tools/predict_vqa.py``
    need neither the hub nor the folders that training began with.
    """

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Write them; a model without a source checkpoint is left alone."""
        from transmamba_mm.models.hf.hf_assets import save_hf_assets

        model = runner.cfg.get('model') or {}
        kept = save_hf_assets(model.get('student', model), runner.work_dir)
        if kept:
            runner.logger.info(f'Kept the architectures of {", ".join(kept)} in the work_dir.')
