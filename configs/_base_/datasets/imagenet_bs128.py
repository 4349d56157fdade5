# mmpretrain's pipeline for DeiT and Swin: RandAugment, random erasing, 224 of 256 pixels to test.
# 128 images on each of 8 GPUs make the 1,024 that the schedule's learning rate is for.
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py'

train_dataloader = dict(batch_size=128)
val_dataloader = dict(batch_size=128)
test_dataloader = dict(batch_size=128)
