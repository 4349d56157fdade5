from transmamba_mm.convert.official import build_from_official, from_official, to_official

__all__ = ['build_from_official', 'from_official', 'to_official']
