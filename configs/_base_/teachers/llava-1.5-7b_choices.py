_base_ = './llava-1.5-7b.py'

# Asked for the letter of a choice, in the words LLaVA 1.5 was trained with.
teacher = dict(
    model=dict(
        prompt='USER: {image}\n{question}\n'
        "Answer with the option's letter from the given choices directly. ASSISTANT:"
    )
)
