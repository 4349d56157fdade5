# A LLaVA becomes a MambaVQA: python tools/analysis/study.py configs/studies/easyvqa.py (hours)
# Regime A: the teacher was trained on all questions.
_config = 'configs/transmamba/mambavqa-nano_llava-nano_easyvqa.py'
results = 'docs/results/easyvqa.jsonl'
metric = 'vqa/accuracy'
regimes = dict(A=dict())
blocks = dict(
    data=dict(
        configs=[_config], methods=['scratch', 'wsab'], fractions=[1, 0.75, 0.25, 0.05, 0.01]
    ),
    fusion=dict(configs=[_config], methods=['wsab', 'concat', 'blind'], fractions=[0.75]),
)
