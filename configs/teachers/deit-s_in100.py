_base_ = [
    '../_base_/teachers/deit-s_in100.py',
    '../_base_/datasets/imagenet100_bs128.py',
    '../_base_/schedules/cifar100_bs128_adamw.py',
    '../_base_/runtimes/default.py',
]

model = _base_.teacher.model

# Fine-tuned from ImageNet; the head of 1,000 classes is left behind. For a local copy:
# --cfg-options load_from=FILE
load_from = 'https://mmassets.onedl.ai/mmclassification/v0/deit/deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth'
