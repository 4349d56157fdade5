teacher = dict(
    model=dict(
        type='transmamba_mm.LlavaTeacher',
        checkpoint='llava-hf/llava-1.5-7b-hf',
        dtype='float16',
        prompt='USER: {image}\n{question}\n'
        'Answer the question using a single word or phrase. ASSISTANT:',
        max_answer_tokens=10,
    )
)
