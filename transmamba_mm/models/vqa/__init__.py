from transmamba_mm.models.vqa.llava_teacher import LlavaTeacher
from transmamba_mm.models.vqa.mamba_vqa import MambaVQA
from transmamba_mm.models.vqa.visual_answerer import VisualAnswerer
from transmamba_mm.models.vqa.word_tokenizer import build_word_tokenizer

__all__ = ['LlavaTeacher', 'MambaVQA', 'VisualAnswerer', 'build_word_tokenizer']
