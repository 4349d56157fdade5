"""Turn a trained Transformer into a Mamba (TransMamba, arXiv 2502.15130), as an OpenMMLab plugin.

Importing the package only creates its registries; models, data sets and hooks are imported when a
registry is first asked for one of them, so ``custom_imports=['transmamba_mm']`` is all another
project needs.
"""

from transmamba_mm import registry
from transmamba_mm.compat import announce_config_package, silence_optional_imports
from transmamba_mm.version import __version__

announce_config_package()
silence_optional_imports()

__all__ = ['__version__', 'registry']
