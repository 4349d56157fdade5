_base_ = './deit-t.py'

# Fine-tuned first: python tools/train.py configs/teachers/deit-t_cifar100.py
teacher = dict(model=dict(head=dict(num_classes=100)), checkpoint='work_dirs/deit-t_cifar100')
