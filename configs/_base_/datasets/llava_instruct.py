_base_ = './vqav2.py'

# Conversations: https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K; images: COCO train2017.
# Trained on conversations, validated on the questions of VQAv2.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='transmamba_mm.LlavaInstruct',
        data_root='data/coco',
        data_prefix=dict(img_path='train2017'),
        ann_file='annotations/llava_instruct_150k.json',
        pipeline={{_base_.train_pipeline}},
    )
)
