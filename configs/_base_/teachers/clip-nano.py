# A mean over frames loses their order; this teacher models it (seqTransf).
vision_config = dict(
    image_size=32,
    patch_size=8,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
)
teacher_model = dict(
    type='transmamba_mm.Clip4ClipTeacher',
    config=dict(
        projection_dim=64,
        vision_config=vision_config,
        text_config=dict(
            vocab_size=48,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=20,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
        ),
    ),
    vision_checkpoint='work_dirs/clip-vision-nano_movingdigits',  # where its own training begins
    out_type='avg_featmap',  # WSAB matches patches, so the teacher pools them
    temporal=dict(type='transformer', num_layers=2, num_heads=4, max_frames=4),
    tokenizer=dict(type='transmamba_mm.WordTokenizer', words='MovingDigits'),
)
teacher = dict(model=teacher_model, checkpoint='work_dirs/clip-nano_movingdigits')
