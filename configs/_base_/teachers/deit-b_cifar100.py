_base_ = './deit-b.py'

# Fine-tuned first: python tools/train.py configs/teachers/deit-b_cifar100.py
teacher = dict(model=dict(head=dict(num_classes=100)), checkpoint='work_dirs/deit-b_cifar100')
