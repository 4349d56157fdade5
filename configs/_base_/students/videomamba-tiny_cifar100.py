_base_ = 'videomamba-tiny_in1k.py'
student = dict(head=dict(num_classes=100))
