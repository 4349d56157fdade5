_base_ = './deit-s.py'

# Fine-tuned first: python tools/train.py configs/teachers/deit-s_in100.py
teacher = dict(model=dict(head=dict(num_classes=100)), checkpoint='work_dirs/deit-s_in100')
