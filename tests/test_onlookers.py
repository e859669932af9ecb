from jaxpower.onlookers import Onlookers


def test_the_first_that_fails_is_the_last_that_is_called() -> None:
  seen = []

  def show(text: str) -> None:
    if text == "broken":
      raise SystemExit(1)  # as rich does on a pipe that nobody reads
    seen.append(text)

  onlookers = Onlookers()
  for text in ("first", "broken", "third"):
    onlookers.call(show, text)
  assert seen == ["first"]
  assert onlookers.problem == (
    "what happened was not shown from here on (SystemExit: 1)"
  )
