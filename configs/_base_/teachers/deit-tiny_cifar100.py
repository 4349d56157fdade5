# Fine-tuned first: python tools/train.py configs/teachers/deit-tiny_cifar100.py
_base_ = 'deit-tiny_in1k.py'
teacher = dict(model=dict(head=dict(num_classes=100)), checkpoint='work_dirs/deit-tiny_cifar100')
