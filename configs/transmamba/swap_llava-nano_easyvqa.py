_base_ = [
    '../_base_/teachers/llava-nano.py',
    '../_base_/methods/wsab.py',
    '../_base_/datasets/easyvqa.py',
    '../_base_/schedules/easyvqa.py',
    '../_base_/runtimes/easyvqa.py',
]

_llava = _base_.teacher.model
_vision = dict(type='transmamba_mm.ClipVision', config=_base_.vision_config, out_type='featmap')
_language = dict(type='transmamba_mm.CausalLM', config=_llava.config.text_config)
student = dict(
    type='transmamba_mm.MambaVQA',
    vision=dict(type='transmamba_mm.AttentionSwap', transformer=_vision),
    language=dict(type='transmamba_mm.CausalAttentionSwap', transformer=_language),
    tokenizer=_llava.tokenizer,
    prompt=_llava.prompt,
    max_answer_tokens=_llava.max_answer_tokens,
)
model = dict(student=student, teacher=_base_.teacher, **_base_.transfer)
