# A DeiT becomes a Vim on 8x8 digits: python tools/analysis/study.py configs/studies/digits.py
# Regime A: the teacher was trained on all images, so this shows how fast a transfer learns.
results = 'docs/results/digits.jsonl'
regimes = dict(A=dict())
blocks = dict(
    methods=dict(
        configs=['configs/transmamba/vim-nano_deit-nano_digits.py'],
        methods=['scratch', 'logits', 'wsab'],
        fractions=[1, 0.75, 0.5, 0.25, 0.1, 0.05],
        seeds=[0, 1, 2],
    ),
    swap=dict(
        configs=['configs/transmamba/swap_deit-nano_digits.py'],
        methods=['scratch', 'logits', 'staged'],
        fractions=[1, 0.25, 0.05],
        seeds=[0, 1, 2],
    ),
    # The start of a transfer, chosen on the validation set.
    start=dict(
        configs=['configs/transmamba/vim-nano_deit-nano_digits.py'],
        methods=['wsab', 'gates', 'mimic', 'scaled', 'calibrated'],
        fractions=[0.1],
        seeds=[0, 1, 2],
        baseline='wsab',
        test=False,
    ),
)
