# A hundred classes of ImageNet, as folders: data/imagenet100/{train,val}/n01558993/*.JPEG. The usual
# hundred are those of CMC (arXiv 1906.05849).
_base_ = './imagenet_bs128.py'

data_preprocessor = dict(num_classes=100)

_folders = dict(_delete_=True, type='CustomDataset', data_root='data/imagenet100')
train_dataloader = dict(
    dataset=dict(_folders, data_prefix='train', pipeline={{_base_.train_pipeline}})
)
val_dataloader = dict(dataset=dict(_folders, data_prefix='val', pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
