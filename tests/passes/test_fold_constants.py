from foreknown.passes.fold_constants import fold_constants
from tests.passes.results import becomes, stays


def test_folds_what_has_no_weights() -> None:
    becomes(
        fold_constants,
        """graph g {
  %0 = const {value=2.0} : f32[]
  %1 = const {value=[1.0,3.0]} : f32[2]
  %2 = mul %0, %1
  %3 = sqrt %0
  %4 = add %2, %3
  %t = tokens
  %x = cast %t {dtype="f32"}
  %r = reshape %x {shape=[T,1]}
  %y = mul %r, %4
  return y=%y }""",
        """graph g {
  %4 = const {value=[3.4142137,7.4142137]} : f32[2]
  %t = tokens
  %x = cast %t {dtype="f32"}
  %r = reshape %x {shape=[T,1]}
  %y = mul %r, %4
  return y=%y }""",
    )


def test_expressions_of_weights_stay_together() -> None:
    stays(
        fold_constants,
        """graph g {
  %w = weight {name="w", shape=[9,4], stored="bf16"}
  %one = const {value=1.0} : f32[]
  %1 = add %w, %one
  %2 = permute %1 {axes=[1,0]}
  %t = tokens
  %x = take %2, %t
  return y=%x }""",
    )


def test_what_would_grow_stays() -> None:
    stays(
        fold_constants,
        """graph g {
  %c = const {value=1.0} : f32[]
  %1 = broadcast %c {shape=[64,65]}
  %t = tokens
  %x = take %1, %t
  return y=%x }""",
    )
