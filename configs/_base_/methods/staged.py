# WSAB in stages, for a student as wide as its teacher: first each mixer alone learns the output of
# the attention it stands for, then the whole student is distilled, without features at its end.
model = dict(
    distiller=dict(feature_end=0.5),
    stages=[
        dict(
            name='mixer alignment',
            share=0.3,
            trains='mixers',
            lr_mult=5.0,
            distiller=dict(type='transmamba_mm.MixerAlignment'),
        ),
        dict(name='end to end', share=0.7),
    ],
)
