# What transfers, on Fashion-MNIST: python tools/analysis/study.py configs/studies/fashionmnist.py BLOCK
# Regime C: the teacher is trained on 30,000 images that no student gets. Regime B: on the student's
# own images. Scratch has no teacher and is shared by both.
_leaf = 'configs/transmamba/{}_deit-micro_fashionmnist.py'
_vim, _swap, _vmamba, _plainmamba = map(
    _leaf.format, ('vim-micro', 'swap', 'vmamba-micro', 'plainmamba-micro')
)
_lr, _decay = 'optim_wrapper.optimizer.lr', 'optim_wrapper.optimizer.weight_decay'
_steps, _validate = 'train_cfg.max_iters', 'train_cfg.val_interval'

results = 'docs/results/fashionmnist.jsonl'
regimes = dict(
    C=dict(),
    B=dict(options={'train_dataloader.dataset.split': 'train'}, own_data=True),
)

# Nine trials of each method at equal steps. Aligned mixers are fine-tuned at lower rates; their
# alignment itself keeps the rate that is best on digits, 1e-2.
_decays = (0.02, 0.05, 0.2)
_nine = [{_lr: lr, _decay: decay} for lr in (1e-3, 2e-3, 4e-3) for decay in _decays]


def _aligned(lr, decay):
    return {_lr: lr, 'model.stages.0.lr_mult': 1e-2 / lr, _decay: decay}


_staged = [_aligned(lr, decay) for lr in (5e-4, 1e-3, 2e-3) for decay in _decays]
_longer = [{_steps: steps, _validate: steps // 8} for steps in (2000, 4000, 8000, 16000)]
# Scratch is best at the largest rate of the nine: three more trials for it alone, which are worse.
_higher = [{_lr: 8e-3, _decay: decay} for decay in _decays]


def _choose(config, method, fractions, options):
    """What tuning has chosen; less than a quarter of the data takes the quarter's."""
    name = config.rpartition('/')[2].removesuffix('.py')
    return [
        dict(where=dict(config=name, method=method, fraction=part), options=options)
        for part in fractions
    ]


_all, _less = [1], [0.25, 0.1, 0.01]
tuned = [
    *_choose(_swap, 'scratch', _all, {_lr: 4e-3, _decay: 0.05}),
    *_choose(_swap, 'scratch', _less, {_lr: 4e-3, _decay: 0.02}),
    *_choose(_swap, 'logits', _all, {_lr: 2e-3, _decay: 0.02}),
    *_choose(_swap, 'logits', _less, {_lr: 2e-3, _decay: 0.2}),
    *_choose(_swap, 'staged', _all, _aligned(5e-4, 0.05)),
    *_choose(_swap, 'staged', _less, _aligned(5e-4, 0.2)),
]

_initial = ['scratch', 'init_only', 'logits']


def _tuning(config, *methods, trials=_nine):
    """Choices are made on the validation set, with a seed of their own."""
    return dict(
        configs=[config],
        methods=methods,
        fractions=[0.25, 1],
        seeds=[100],
        trials=trials,
        test=False,
    )


def _compared(config, reference, *methods):
    return dict(
        configs=[config],
        methods=methods,
        fractions=[1, 0.25, 0.1, 0.01],
        seeds=[0, 1, 2, 3, 4],
        reference=reference,
    )


def _own_data(config, reference, *methods):
    return dict(
        configs=[config],
        methods=methods,
        fractions=[1, 0.25],
        seeds=[0, 1, 2],
        regime='B',
        reference=reference,
    )


blocks = dict(
    # The most informative runs, one seed.
    first=dict(configs=[_vim], methods=[*_initial, 'wsab'], fractions=[1, 0.25]),
    tuning_swap_ours=_tuning(_swap, 'staged', trials=_staged),
    tuning_swap=_tuning(_swap, 'scratch', 'logits'),
    tuning_swap_higher=_tuning(_swap, 'scratch', trials=_higher),
    tuning=_tuning(_vim, 'scratch', 'logits'),
    tuning_ours=_tuning(_vim, 'wsab'),
    converged=dict(configs=[_vim], methods=['scratch'], seeds=[0, 1, 2], trials=_longer),
    converged_swap=dict(configs=[_swap], methods=['scratch'], seeds=[0, 1, 2], trials=_longer),
    headline_swap=_compared(_swap, 'converged_swap', 'scratch', 'logits', 'staged'),
    headline=_compared(_vim, 'converged', *_initial, 'wsab'),
    regime_b_swap=_own_data(_swap, 'converged_swap', 'scratch', 'logits', 'staged'),
    regime_b=_own_data(_vim, 'converged', 'scratch', 'logits', 'wsab'),
    ablation=dict(
        configs=[_vim],
        methods=[
            *('wsab', 'wsab_sampled', 'no_subcloning', 'no_layers', 'no_directions'),
            *('no_features', 'uniform'),
        ],
        fractions=[0.25],
        seeds=[0, 1, 2],
        baseline='wsab',
    ),
    peers=dict(
        configs=[_vim],
        methods=['wsab', 'wsab_paper', 'fitnets', 'ofa', 'cab'],
        fractions=[1, 0.25],
        seeds=[0, 1, 2],
        baseline='wsab',
    ),
    students=dict(
        configs=[_vmamba, _plainmamba],
        methods=['scratch', 'logits', 'wsab'],
        fractions=[1, 0.25],
        seeds=[0, 1, 2],
    ),
)

figures = {
    'docs/images/fashionmnist_accuracy.png': 'accuracy headline_swap',
    'docs/images/fashionmnist_curves.png': 'curves headline_swap',
}
