from transmamba_mm.models.vqa.mamba_vqa import MambaVQA

__all__ = ['MambaVQA']
