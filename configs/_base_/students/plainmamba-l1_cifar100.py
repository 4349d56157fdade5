_base_ = 'plainmamba-l1_in1k.py'
student = dict(head=dict(num_classes=100))
