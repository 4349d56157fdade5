# A CLIP becomes a VideoMamba: python tools/analysis/study.py configs/studies/movingdigits.py (hours)
# Regime A: the teacher was trained on all videos.
_config = 'configs/transmamba/videomamba-nano_clip-nano_movingdigits.py'
results = 'docs/results/movingdigits.jsonl'
metric = 'retrieval/t2v_R1'
regimes = dict(A=dict())
blocks = dict(
    data=dict(
        configs=[_config], methods=['scratch', 'wsab', 'logits'], fractions=[1, 0.75, 0.5, 0.25]
    ),
    seeds=dict(configs=[_config], methods=['scratch'], seeds=[0, 1, 2]),
    seeds_75=dict(configs=[_config], methods=['wsab'], fractions=[0.75], seeds=[0, 1, 2]),
)
