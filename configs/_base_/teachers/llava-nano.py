vision_config = dict(
    image_size=64,
    patch_size=8,
    hidden_size=96,
    intermediate_size=192,
    num_hidden_layers=4,
    num_attention_heads=4,
)
teacher_model = dict(
    type='transmamba_mm.LlavaTeacher',
    config=dict(
        vision_config=dict(model_type='clip_vision_model', **vision_config),
        text_config=dict(
            model_type='llama',
            vocab_size=48,
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=4,
            num_attention_heads=4,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
        ),
        image_token_index=47,  # not a word: the patches are put in as embeddings
        image_seq_length=64,
        vision_feature_layer=-1,
    ),
    vision_checkpoint='work_dirs/clip-vision-nano_easyvqa',  # where its own training begins
    tokenizer=dict(type='transmamba_mm.WordTokenizer', words='EasyVQA'),
    # The patches follow the question: a causal model reads them with the question in its context.
    prompt='{question} {image}',
    max_answer_tokens=2,
)
teacher = dict(model=teacher_model, checkpoint='work_dirs/llava-nano_easyvqa')
