from inferlab.measure.order import shuffled


def test_a_round_has_every_item_once_in_an_order_of_its_own() -> None:
    items = list(range(20))
    orders = [shuffled(items, 7, "serving", number) for number in range(5)]
    assert all(sorted(order) == items for order in orders)
    assert len({tuple(order) for order in orders}) == 5


def test_a_resumed_run_finds_the_same_order() -> None:
    assert shuffled("abcdefgh", 7, 1) == shuffled("abcdefgh", 7, 1)
    assert shuffled("abcdefgh", 8, 1) != shuffled("abcdefgh", 7, 1)
