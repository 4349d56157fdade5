"""The sizes of VMamba, by the official recipes.

``tiny``, ``small`` and ``base`` are the VMambav2 recipes ``v05_noz`` of ratio 1 (officially s1l8,
s1l20, s1l20), ``-s2l5`` and ``-s2l15`` those of ratio 2, ``-v0`` the original VMamba. ``nano`` is
ours, for images of 8 to 32 pixels; give it ``patch_size=2`` or 4.
"""

TINY_DIMS = (96, 192, 384, 768)  # and small
BASE_DIMS = (128, 256, 512, 1024)


def _recipe(embed_dims: tuple[int, ...], depths: tuple[int, ...], ssm_ratio: float) -> dict:
    return {
        'embed_dims': embed_dims,
        'depths': depths,
        'state_dims': 1,
        'ssm_ratio': ssm_ratio,
        'gate': False,
        'conv_bias': False,
        'mlp_ratio': 4.0,
        'patch_embed': 'conv_stem',
        'downsample': 'conv3',
    }


def _original(embed_dims: tuple[int, ...], depths: tuple[int, ...]) -> dict:
    return {
        'embed_dims': embed_dims,
        'depths': depths,
        'state_dims': 16,
        'ssm_ratio': 2.0,
        'gate': True,
        'conv_bias': True,
        'mlp_ratio': 0.0,
        'patch_embed': 'patches',
        'downsample': 'merging',
    }


ARCHS = {
    'nano': {**_recipe((48, 96), (4, 2), 1.0), 'patch_embed': 'patches'},
    'tiny': _recipe(TINY_DIMS, (2, 2, 8, 2), 1.0),
    'small': _recipe(TINY_DIMS, (2, 2, 20, 2), 1.0),
    'base': _recipe(BASE_DIMS, (2, 2, 20, 2), 1.0),
    'tiny-s2l5': _recipe(TINY_DIMS, (2, 2, 5, 2), 2.0),
    'small-s2l15': _recipe(TINY_DIMS, (2, 2, 15, 2), 2.0),
    'base-s2l15': _recipe(BASE_DIMS, (2, 2, 15, 2), 2.0),
    'tiny-v0': _original(TINY_DIMS, (2, 2, 9, 2)),
    'small-v0': _original(TINY_DIMS, (2, 2, 27, 2)),
    'base-v0': _original(BASE_DIMS, (2, 2, 27, 2)),
}
