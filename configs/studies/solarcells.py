# A second domain, photographs of solar cells: python tools/analysis/study.py configs/studies/solarcells.py
# Regime B: the teacher was trained on the student's images only.
results = 'docs/results/solarcells.jsonl'
regimes = dict(B=dict(own_data=True))
blocks = dict(
    methods=dict(
        configs=['configs/transmamba/vim-micro_deit-micro_solarcells.py'],
        methods=['scratch', 'logits', 'wsab'],
        seeds=[0, 1, 2],
    ),
)
