# The student alone, without its teacher: same data, same schedule.
model = _base_.model.student
