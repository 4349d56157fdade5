student = dict(
    type='transmamba_mm.MambaVQA',
    vision=dict(
        type='transmamba_mm.Vim',
        arch=dict(embed_dims=96, num_layers=4, state_dims=8),
        img_size=64,
        patch_size=8,
        out_type='featmap',
    ),
    language=dict(
        type='transmamba_mm.MambaLM',
        config=dict(
            vocab_size=48,
            hidden_size=96,
            num_hidden_layers=4,
            state_size=8,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
        ),
    ),
    cross_mamba=dict(type='transmamba_mm.CrossMamba', state_dims=8),
    tokenizer=dict(type='transmamba_mm.WordTokenizer', words='EasyVQA'),
    prompt='{question} {image}',
    max_answer_tokens=2,
)
