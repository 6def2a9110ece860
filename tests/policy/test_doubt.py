"""What is old or unknown decides nothing, and what was said or seen is not forgotten."""

from gslb.domain.health import Cause
from gslb.domain.messages import AnswersRead, BackendFailed, Read
from gslb.domain.traffic import Reading
from tests.policy.build import DNS, EU, NAME, Life, topology


def test_an_answer_to_a_question_of_an_old_term_is_not_believed() -> None:
    life = Life(topology())
    life.lead(3)
    before = life.world.backends[DNS]
    old = Reading(answers={NAME: None}, generation=life.generation)
    life.tell(AnswersRead(backend=DNS, epoch=2, reading=old, begun_s=life.now.boot_s))
    assert life.world.backends[DNS].served == before.served
    life.wait(2)
    assert life.served == "eu,us,ap"


def test_after_a_call_that_failed_the_backend_is_read_before_anything_else() -> None:
    life = Life(topology())
    epoch = life.world.epoch
    assert epoch is not None
    assert life.world.backends[DNS].known
    life.tell(BackendFailed(backend=DNS, epoch=epoch, error="timeout after 2 s"))
    assert not life.world.backends[DNS].known
    seen = len(life.orders)
    life.break_("eu", "store.write", Cause.IO, "put: 500")
    life.wait(10)
    assert isinstance(next(o for o in life.orders[seen:] if not hasattr(o, "memories")), Read)


def test_an_override_holds_until_its_end_and_no_less() -> None:
    life = Life(topology())
    life.say("drain", "us", for_s=120)
    life.wait(118)
    assert life.served == "eu,ap"
    life.wait(4)
    assert life.served == "eu,us,ap"


def test_a_restart_forgets_neither_the_fall_nor_who_has_left() -> None:
    life = Life(topology())
    life.break_("eu", "store.write", Cause.IO, "put: 500")
    life.wait(5)
    assert life.served == "us,ap"
    before = life.world.memories[EU]
    life.restart()
    after = life.world.memories[EU]
    assert (after.fell_at_s, after.left, after.passed) == (
        before.fell_at_s,
        before.left,
        before.passed,
    )
    assert after.left
