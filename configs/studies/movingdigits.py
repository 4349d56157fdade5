# A CLIP becomes a VideoMamba: python tools/analysis/study.py configs/studies/movingdigits.py (hours)
# Regime A: the teacher was trained on all videos.
_config = 'configs/transmamba/videomamba-nano_clip-nano_movingdigits.py'
_short = {
    'train_cfg.max_iters': 250,
    'train_cfg.val_interval': 125,
    'param_scheduler.1.end': 250,
}
results = 'docs/results/movingdigits.jsonl'
metric = 'retrieval/t2v_R1'
regimes = dict(A=dict())
blocks = dict(
    data=dict(
        configs=[_config], methods=['scratch', 'wsab', 'logits'], fractions=[1, 0.75, 0.5, 0.25]
    ),
    seeds=dict(configs=[_config], methods=['scratch'], seeds=[0, 1, 2]),
    # What brings the student nearer to its teacher; chosen on the validation videos.
    fixes=dict(
        configs=[_config],
        methods=['wsab', 'embeddings', 'frames', 'teacher_text', 'logit_scale'],
        trials=[_short],
        test=False,
    ),
    seeds_75=dict(configs=[_config], methods=['wsab'], fractions=[0.75], seeds=[0, 1, 2]),
)
