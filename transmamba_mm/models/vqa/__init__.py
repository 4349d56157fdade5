from transmamba_mm.models.vqa.base_vqa_model import BaseVQAModel
from transmamba_mm.models.vqa.llava_teacher import LlavaTeacher
from transmamba_mm.models.vqa.mamba_vqa import MambaVQA
from transmamba_mm.models.vqa.word_tokenizer import build_word_tokenizer

__all__ = ['BaseVQAModel', 'LlavaTeacher', 'MambaVQA', 'build_word_tokenizer']
