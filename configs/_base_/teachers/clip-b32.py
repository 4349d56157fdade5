# CLIP over frames and their mean (meanP of CLIP4Clip, arXiv 2104.08860): without any training it
# finds videos. One that was trained on the videos: --cfg-options model.teacher.checkpoint=WORK_DIR
teacher = dict(
    model=dict(type='Clip4ClipTeacher', checkpoint='openai/clip-vit-base-patch32', temporal='mean')
)
