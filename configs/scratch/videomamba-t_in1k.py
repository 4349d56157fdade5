_base_ = [
    '../_base_/students/videomamba-tiny_in1k.py',
    '../_base_/datasets/imagenet_bs128.py',
    '../_base_/schedules/imagenet_bs1024_adamw_vim.py',
    '../_base_/default_runtime.py',
]

model = {{_base_.student}}
