_base_ = [
    '../_base_/students/vim-small_retrieval.py',
    '../_base_/datasets/didemo.py',
    '../_base_/schedules/retrieval_small_bs128_adamw.py',
    '../_base_/retrieval_runtime.py',
]

model = {{_base_.student}}
