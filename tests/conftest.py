import transmamba_mm  # noqa: F401  (makes mmpretrain importable beside CPU torch; see compat.py)
