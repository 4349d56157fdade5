# Fine-tuned first: python tools/train.py configs/teachers/deit-base_cifar100.py
_base_ = 'deit-base_in1k.py'
teacher = dict(model=dict(head=dict(num_classes=100)), checkpoint='work_dirs/deit-base_cifar100')
