# Any vision student beside a small Mamba for the captions; a leaf adds vision.
retriever = dict(
    type='transmamba_mm.VideoTextRetriever',
    text=dict(
        type='transmamba_mm.MambaLM',
        config=dict(
            vocab_size=48,
            hidden_size=64,
            num_hidden_layers=2,
            state_size=8,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
        ),
    ),
    tokenizer=dict(type='transmamba_mm.WordTokenizer', words='MovingDigits'),
    embed_dims=64,
)
