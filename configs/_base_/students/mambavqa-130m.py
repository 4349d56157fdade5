# The frozen vision encoder of LLaVA 1.5 and a small pre-trained language Mamba.
student = dict(
    type='transmamba_mm.MambaVQA',
    vision=dict(
        type='transmamba_mm.ClipVision',
        checkpoint='openai/clip-vit-large-patch14-336',
        layer=-2,
        frozen=True,
    ),
    cross_mamba=dict(type='transmamba_mm.CrossMamba'),
    language=dict(
        type='transmamba_mm.MambaLM', checkpoint='state-spaces/mamba-130m-hf', dtype='float32'
    ),
    prompt='Question: {question} Short answer:',
    answer=' {answer}',  # GPT-NeoX's tokenizer counts the space to the word
    max_answer_tokens=10,
)
