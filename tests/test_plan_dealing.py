from collections.abc import Sequence

from jaxpower.config import Sweep, Transfer, Trial, by_id, trial_id
from jaxpower.plan import pretraining
from jaxpower.plan.dealing import Dealer
from jaxpower.plan.grid import expand


def sweep(seeds: int) -> list[Trial]:
  return expand(Sweep(vary={"batch_size": (32, 64, 128)}, seeds=seeds))


def dealt(dealer: Dealer, places: Sequence[int]) -> dict[int, list[Trial]]:
  """Lets places take turns until nothing is left; what each of them ran."""
  ran: dict[int, list[Trial]] = {place: [] for place in places}
  while not dealer.over:
    for place in places:
      if (trial := dealer.next(place)) is not None:
        ran[place].append(trial)
    for place in places:
      dealer.ended(place)
  return ran


def test_all_settings_of_a_seed_run_in_one_place() -> None:
  trials = sweep(seeds=5)
  dealer = Dealer(trials, 2)
  ran = dealt(dealer, (0, 1))
  assert dealer.whole_seeds
  assert sorted(map(trial_id, ran[0] + ran[1])) == sorted(map(trial_id, trials))
  seeds = [{trial.seed for trial in own} for own in ran.values()]
  assert not seeds[0] & seeds[1]
  assert sorted(map(len, seeds)) == [2, 3]
  for own in ran.values():  # in the order of the sweep
    assert own == [trial for trial in trials if trial in own]


def test_fewer_seeds_than_places_leave_no_place_empty() -> None:
  dealer = Dealer(sweep(seeds=1), 3)
  assert not dealer.whole_seeds
  ran = dealt(dealer, (0, 1, 2))
  assert list(map(len, ran.values())) == [1, 1, 1]


def test_a_seed_goes_on_where_it_had_begun() -> None:
  dealer = Dealer(sweep(seeds=2), 2, {0: 1})
  assert (first := dealer.next(0)) and first.seed == 1
  assert (second := dealer.next(1)) and second.seed == 0


def test_what_a_lost_place_had_is_run_by_the_others() -> None:
  trials = sweep(seeds=2)
  dealer = Dealer(trials, 2)
  running = dealer.next(0), dealer.next(1)
  assert dealer.lost(1) == running[1]
  assert list(dealer.living) == [0]
  dealer.ended(0)
  ran = dealt(dealer, (0,))[0]
  assert sorted(map(trial_id, [*filter(None, running[:1]), *ran])) == sorted(
    map(trial_id, trials)
  )


def test_a_pretraining_ends_before_what_starts_from_it_begins() -> None:
  transfers = (Transfer(), Transfer(init_from=Trial(data="mnist_5k")))
  asked = Sweep(data="digits_28", vary={"transfer": transfers}, seeds=1)
  trials = list(pretraining.with_sources(by_id(expand(asked))).values())
  dealer = Dealer(trials, 3)
  begun = [dealer.next(place) for place in range(3)]
  needy = next(t for t in trials if t.transfer.init_from is not None)
  assert begun.count(None) == 1
  assert needy not in begun
  source = next(n for n, t in enumerate(begun) if t and t.data == "mnist_5k")
  dealer.ended(source)
  assert dealer.next(2) == needy
