import pytest

from foreknown.passes.merge_views import merge_views
from tests.passes.results import becomes, stays

X = """graph g {
  %w = weight {name="w", shape=[9,2,4], stored="f32"}
  %t = tokens
  %x = take %w, %t : f32[T,2,4]
"""
CASES = {
    "reshape of reshape": (
        "%1 = reshape %x {shape=[T,8]}\n%2 = reshape %1 {shape=[T,4,2]}\nreturn y=%2 }",
        "%2 = reshape %x {shape=[T,4,2]}\nreturn y=%2 }",
    ),
    "permute of permute": (
        """%r = reshape %x {shape=[T,2,2,2]}
        %1 = permute %r {axes=[0,2,3,1]}
        %2 = permute %1 {axes=[0,2,1,3]}
        return y=%2 }""",
        """%r = reshape %x {shape=[T,2,2,2]}
        %2 = permute %r {axes=[0,3,2,1]}
        return y=%2 }""",
    ),
    "permute that moves ones": (
        """%r = reshape %x {shape=[T,1,8]}
        %1 = permute %r {axes=[0,2,1]}
        return y=%1 }""",
        "%1 = reshape %x {shape=[T,8,1]}\nreturn y=%1 }",
    ),
    "permute of broadcast": (
        """%r = amax %x {axes=[1]}
        %1 = broadcast %r {shape=[T,3,4]}
        %2 = permute %1 {axes=[0,2,1]}
        return y=%2 }""",
        """%r = amax %x {axes=[1]}
        %1 = reshape %r {shape=[T,4,1]}
        %2 = broadcast %1 {shape=[T,4,3]}
        return y=%2 }""",
    ),
    "reshape of one number": (
        """%r = amax %x {axes=[1,2]}
        %1 = broadcast %r {shape=[T,3,4]}
        %2 = reshape %1 {shape=[T,12]}
        return y=%2 }""",
        """%r = amax %x {axes=[1,2]}
        %1 = reshape %r {shape=[T,1]}
        %2 = broadcast %1 {shape=[T,12]}
        return y=%2 }""",
    ),
    "slice of slice": (
        """%1 = slice %x {axis=2, start=1, stop=4, step=1}
        %2 = slice %1 {axis=2, start=0, stop=3, step=2}
        return y=%2 }""",
        "%2 = slice %x {axis=2, start=1, stop=4, step=2}\nreturn y=%2 }",
    ),
    "slice in least words": (
        "%1 = slice %x {axis=2, start=1, stop=3, step=2}\nreturn y=%1 }",
        "%1 = slice %x {axis=2, start=1, stop=2, step=1}\nreturn y=%1 }",
    ),
    "slice of concat, in one part": (
        """%n = neg %x
        %1 = concat %x, %n {axis=2}
        %2 = slice %1 {axis=2, start=5, stop=8, step=2}
        return y=%2 }""",
        "%n = neg %x\n%2 = slice %n {axis=2, start=1, stop=4, step=2}\nreturn y=%2 }",
    ),
    "slice of concat, over parts": (
        """%n = neg %x
        %a = abs %x
        %1 = concat %x, %n, %a {axis=2}
        %2 = slice %1 {axis=2, start=0, stop=6, step=1}
        return y=%2 }""",
        """%n = neg %x
        %f = slice %x {axis=2, start=0, stop=4, step=1}
        %s = slice %n {axis=2, start=0, stop=2, step=1}
        %2 = concat %f, %s {axis=2}
        return y=%2 }""",
    ),
    "slice of broadcast": (
        """%r = amax %x {axes=[1]}
        %1 = broadcast %r {shape=[T,3,4]}
        %2 = slice %1 {axis=1, start=0, stop=2, step=1}
        %3 = slice %2 {axis=2, start=0, stop=2, step=1}
        return y=%3 }""",
        """%r = amax %x {axes=[1]}
        %1 = slice %r {axis=2, start=0, stop=2, step=1}
        %2 = broadcast %1 {shape=[T,2,2]}
        return y=%2 }""",
    ),
    "concat of concat": (
        """%n = neg %x
        %1 = concat %x, %n {axis=2}
        %2 = concat %1, %x {axis=2}
        return y=%2 }""",
        "%n = neg %x\n%2 = concat %x, %n, %x {axis=2}\nreturn y=%2 }",
    ),
    "adjoining slices": (
        """%1 = slice %x {axis=2, start=0, stop=1, step=1}
        %2 = slice %x {axis=2, start=1, stop=3, step=1}
        %3 = concat %1, %2 {axis=2}
        return y=%3 }""",
        "%3 = slice %x {axis=2, start=0, stop=3, step=1}\nreturn y=%3 }",
    ),
    "operand broadcast anyway": (
        """%r = amax %x {axes=[1]}
        %1 = broadcast %r {shape=[T,2,4]}
        %2 = mul %1, %x
        return y=%2 }""",
        "%r = amax %x {axes=[1]}\n%2 = mul %r, %x\nreturn y=%2 }",
    ),
    "a constant for every token": (
        """%c = const {value=2.0} : f32[]
        %1 = broadcast %c {shape=[T,2,4]}
        %2 = mul %1, %x
        return y=%2 }""",
        "%c = const {value=2.0} : f32[]\n%2 = mul %c, %x\nreturn y=%2 }",
    ),
    "a smaller result is broadcast": (
        """%r = amax %x {axes=[1]}
        %1 = broadcast %r {shape=[T,2,4]}
        %2 = neg %1
        %c = const {value=2.0} : f32[]
        %3 = mul %2, %c
        return y=%3 }""",
        """%r = amax %x {axes=[1]}
        %2 = neg %r
        %c = const {value=2.0} : f32[]
        %3 = mul %2, %c
        %4 = broadcast %3 {shape=[T,2,4]}
        return y=%4 }""",
    ),
    "heads repeated for a product": (
        """%r = reshape %x {shape=[T,1,2,4]}
        %1 = broadcast %r {shape=[T,3,2,4]}
        %q = weight {name="q", shape=[9,3,4,2], stored="f32"}
        %2 = take %q, %t
        %3 = matmul %1, %2
        return y=%3 }""",
        """%r = reshape %x {shape=[T,1,2,4]}
        %q = weight {name="q", shape=[9,3,4,2], stored="f32"}
        %2 = take %q, %t
        %3 = matmul %r, %2
        return y=%3 }""",
    ),
    "reshapes meet": (
        """%s = sum %x {axes=[1,2]}
        %1 = reshape %s {shape=[T]}
        %c = const {value=[8.0]} : f32[1]
        %2 = div %1, %c
        %3 = rsqrt %2
        %4 = mul %3, %2
        %5 = reshape %4 {shape=[T,1,1]}
        %6 = mul %x, %5
        return y=%6 }""",
        """%s = sum %x {axes=[1,2]}
        %c = const {value=[8.0]} : f32[1]
        %2 = div %s, %c
        %3 = rsqrt %2
        %4 = mul %3, %2
        %5 = reshape %4 {shape=[T,1,1]}
        %6 = mul %x, %5
        return y=%6 }""",
    ),
    "parts alike are computed once": (
        """%1 = concat %x, %x {axis=2}
        %2 = cos %1
        %c = const {value=2.0} : f32[]
        %3 = mul %2, %c
        return y=%3 }""",
        """%1 = cos %x
        %c = const {value=2.0} : f32[]
        %2 = mul %1, %c
        %3 = concat %2, %2 {axis=2}
        return y=%3 }""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_merges(case: str) -> None:
    before, expected = CASES[case]
    becomes(merge_views, X + before, X + expected)


@pytest.mark.parametrize(
    "lines",
    [
        "%1 = permute %x {axes=[0,2,1]}\n%2 = reshape %1 {shape=[T,8]}\nreturn y=%2 }",
        "%n = neg %x\n%1 = concat %x, %n {axis=2}\nreturn y=%1 }",
        "%n = neg %x\n%1 = concat %x, %n {axis=2}\n%2 = cos %1\nreturn y=%2 }",
        """%1 = slice %x {axis=2, start=1, stop=2, step=1}
        %2 = slice %x {axis=2, start=0, stop=1, step=1}
        %3 = concat %1, %2 {axis=2}
        return y=%3 }""",
    ],
)
def test_leaves_alone(lines: str) -> None:
    stays(merge_views, X + lines)
