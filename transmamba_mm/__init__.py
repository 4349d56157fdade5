"""Turn a trained Transformer into a Mamba (TransMamba, arXiv 2502.15130), as an OpenMMLab plugin.

Importing the package only creates its registries; models, data sets and hooks are imported when a
registry is first queried for one of them, so ``custom_imports=['transmamba_mm']`` is all another
project needs. Without OpenMMLab a warning gives the install command, and only
:mod:`transmamba_mm.ops` can be imported.
"""

import warnings

from transmamba_mm.openmmlab import missing_message
from transmamba_mm.version import __version__

__all__ = ['__version__']

if _message := missing_message():
    warnings.warn(_message, stacklevel=2)
else:
    from transmamba_mm import registry
    from transmamba_mm.compat import announce_config_package, silence_optional_imports

    announce_config_package()
    silence_optional_imports()
    __all__ += ['registry']
