"""What one visit to a GPU does, step by step, on the processor's plan: nothing is run here."""

from impasto.bench.gpu.steps import BATCHES, Plan, steps
from impasto.bench.subject import Subject


def test_each_size_and_batch_that_the_documents_promise() -> None:
    subjects = tuple(Subject(provider="cpu", precision=precision) for precision in ("fp32", "fp16"))
    names = [name for name, _ in steps(Plan(subjects, parts=("evaluation", "transfer", "throughput", "loop")))]
    assert len(names) == len(set(names))
    for size in (256, 512, 1024):
        for precision in ("fp32", "fp16"):
            for part in ("evaluation", "transfer", "throughput"):
                assert f"{part}, cpu {precision}, {size} px" in names
                for batch in BATCHES[1:]:
                    assert f"{part}, cpu {precision}, batch {batch}, {size} px" in names
            assert [name for name in names if name.startswith("loop, ")].count(f"loop, cpu {precision}, {size} px") == 1


def test_one_picture_in_what_has_no_batches() -> None:
    parts = ("cold-start", "compare", "loop")
    names = [name for name, _ in steps(Plan((Subject(provider="cpu"),), sizes=(64,), parts=parts))]
    assert names == ["loop, cpu auto, 64 px", "cold-start, cpu auto, 64 px", "compare, 64 px"]
