from gslb.policy.moment import Moment


def test_a_moment_remembers_the_earliest_instant_that_was_not_reached() -> None:
    moment = Moment(10.0)
    assert moment.reached(9.0)
    assert moment.reached(10.0)
    assert moment.wake_at_s is None
    assert not moment.reached(30.0)
    assert not moment.reached(20.0)
    assert not moment.reached(25.0)
    assert moment.wake_at_s == 20.0
