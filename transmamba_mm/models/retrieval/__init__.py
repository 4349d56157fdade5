from transmamba_mm.models.hf.clip_text import build_clip_text
from transmamba_mm.models.retrieval.clip4clip_teacher import Clip4ClipTeacher
from transmamba_mm.models.retrieval.video_text_retriever import VideoTextRetriever

__all__ = ['Clip4ClipTeacher', 'VideoTextRetriever', 'build_clip_text']
