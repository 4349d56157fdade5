_base_ = './classifier_224.py'

# An image is a clip of one frame; for clips set num_frames.
student = dict(
    backbone=dict(type='transmamba_mm.VideoMamba', arch='tiny', img_size=224),
    head=dict(in_channels=192),
)
