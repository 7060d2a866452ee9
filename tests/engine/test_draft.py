"""What is proposed did follow the same tokens before; and how soon chances are learned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine.acceptance import Acceptance
from foreknown.engine.draft import Drafter, SuffixMatcher

TEXTS = st.integers(1, 5).flatmap(
    lambda letters: st.lists(st.integers(0, letters), min_size=1, max_size=120)
)


def matcher(tokens: list[int]) -> SuffixMatcher:
    return SuffixMatcher(np.array(tokens, np.int32))


def occurs_before_the_end(text: list[int], n: int) -> bool:
    """Whether the last n tokens also stand somewhere else, perhaps overlapping."""
    ends = range(n, len(text))
    return len(text) > n and any(text[end - n : end] == text[-n:] for end in ends)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(0, 119), st.integers(1, 9))
def test_proposals_followed_the_same_tokens_before(
    text: list[int], n_prompt: int, n_drafts: int
) -> None:
    """However much of the text is there from the start, and however much comes one by one."""
    n_prompt = max(1, min(n_prompt, len(text)))
    found = matcher(text[:n_prompt])
    for end in range(n_prompt, len(text) + 1):
        seen = text[:end]
        drafts = found.propose(n_drafts)
        if found.length:
            assert len(drafts) == n_drafts
            went_on = seen + drafts
            assert any(
                seen[place - found.length : place] == seen[-found.length :]
                and went_on[place : place + n_drafts] == drafts
                for place in range(found.length, end)
            )
        else:
            assert len(drafts) == found.worth <= 1
            assert set(drafts) <= set(seen)
        for n in (2, 4):
            if occurs_before_the_end(seen, n):
                assert found.length >= n, "the longest suffix that is looked up"
        if end < len(text):
            proposed = found.propose(1)
            worth = found.worth
            expected = [(worth, proposed == [text[end]])] if worth else []
            assert found.extend(text[end : end + 1]) == expected


def test_the_latest_of_several_places_is_proposed() -> None:
    assert matcher([1, 2, 7, 1, 2, 8, 1, 2]).propose(2) == [8, 1]


def test_a_longer_match_comes_before_a_later_one() -> None:
    assert matcher([5, 6, 1, 2, 7, 7, 1, 2, 8, 9, 5, 6, 1, 2]).propose(2) == [7, 7]


def test_a_followed_match_gives_way_to_a_longer_one() -> None:
    m, p, q, r = 1, 2, 3, 4
    text = [m, p, q, r, 50, m, p, 60, 9, p, q, r, 70]
    found = matcher([*text, m, p, q])
    assert found.propose(2) == [r, 70], "the latest of those that end in p, q"
    found.extend([r])
    assert (found.length, found.propose(2)) == (4, [50, m])


def test_what_repeats_itself_is_proposed_without_end() -> None:
    assert matcher([9, 1, 2, 3, 1, 2, 3]).propose(7) == [1, 2, 3, 1, 2, 3, 1]
    assert matcher([4, 4, 4]).propose(5) == [4] * 5


def test_a_match_is_followed_beyond_what_is_looked_up() -> None:
    text = np.random.default_rng(0).integers(0, 1000, 200).tolist()
    found = matcher(text)
    found.extend(text)
    assert found.length == 200
    assert found.extend([1001]) == [(200, False)]
    assert found.length == 0
    assert found.propose(3) == text[1:2], "it is awaited"


def test_a_revised_text_goes_on_after_an_exchanged_run() -> None:
    draft = np.random.default_rng(1).integers(0, 1000, 100).tolist()
    found = matcher(draft)
    found.extend([*draft[:20], 1001, 1002, 1003])
    assert (found.length, found.worth, found.propose(2)) == (0, 1, draft[23:24]), "it is awaited"
    assert found.extend(draft[23:24]) == [(1, True)]
    assert (found.length, found.worth, found.propose(2)) == (1, 9, draft[24:26])
    assert found.extend(draft[24:25]) == [(9, True)]
    assert found.extend([1004]) == [(10, False)], "and what was mended can be lost and mended"
    found.extend(draft[26:27])
    assert found.propose(1) == draft[27:28]


def test_after_a_short_match_or_a_long_run_nothing_is_mended() -> None:
    draft = np.random.default_rng(2).integers(0, 1000, 100).tolist()
    found = matcher(draft)
    found.extend([*draft[:7], 1001, draft[8]])
    assert found.propose(1) == []
    found = matcher(draft)
    found.extend([*draft[:20], *range(1001, 1034), draft[53]])
    assert (found.worth, found.propose(1)) == (0, [])


def test_what_is_awaited_is_one_draft_as_likely_as_it_was_before() -> None:
    draft = np.random.default_rng(3).integers(0, 1000, 200).tolist()
    drafter = Drafter(np.array(draft, np.int32))
    text = [*draft, *draft[:20], 1001]
    drafter.read(np.array(text, np.int32))
    assert drafter.survival(7) == [drafter.chance]
    assert drafter.survival(0) == []
    before, text = drafter.chance, [*text, 1002, 1003, 1004]
    drafter.read(np.array(text, np.int32))
    assert 0 < drafter.chance < before
    assert drafter.propose(7) == draft[24:25]


def test_large_tokens_and_short_texts() -> None:
    assert matcher([2**31 - 1]).propose(1) == []
    assert matcher([2**31 - 1, 0, 2**31 - 1, 0]).propose(1) == [2**31 - 1]


@pytest.mark.parametrize("length", [2, 5, 12, 100])
def test_chances_follow_what_happens(length: int) -> None:
    hopeful, hopeless = Acceptance(), Acceptance()
    before = hopeful.chance(length)
    for _ in range(16):
        hopeful.learn(length, True)
        hopeless.learn(length, False)
    assert hopeful.chance(length) > max(before, 0.8)
    assert hopeless.chance(length) < min(before, 0.25)
    for _ in range(64):  # and what happens later counts more
        hopeful.learn(length, False)
    assert hopeful.chance(length) < 0.2


def test_lengths_are_learned_apart() -> None:
    acceptance = Acceptance()
    others = [acceptance.chance(n) for n in (2, 8, 40)]
    acceptance.learn(4, False)
    assert [acceptance.chance(n) for n in (2, 8, 40)] == others


@given(st.integers(2, 50), st.integers(0, 7))
def test_survival_falls_and_begins_with_the_chance(length: int, n_drafts: int) -> None:
    acceptance = Acceptance()
    survival = acceptance.survival(length, n_drafts)
    assert len(survival) == n_drafts
    assert survival == sorted(survival, reverse=True)
    assert survival[:1] == [acceptance.chance(length)][:n_drafts]


def read(drafter: Drafter, text: list[int], n_prompt: int) -> list[float]:
    """The chance after each token that comes."""
    tokens, chances = np.array(text, np.int32), []
    for end in range(n_prompt, len(tokens) + 1):
        drafter.read(tokens[:end])
        chances.append(drafter.chance)
    return chances


def test_a_loop_is_trusted_within_a_few_tokens() -> None:
    text = [1, 2, 3, 4, 5, 6, 7, 8] * 2
    drafter = Drafter(np.array(text[:8], np.int32))
    assert read(drafter, text, 8)[-1] >= 0.75
    assert sum(drafter.survival(7)) > 2.5
    assert drafter.propose(3) == [1, 2, 3]


def test_random_text_is_soon_not_trusted() -> None:
    text = np.random.default_rng(1).integers(0, 20, 450).tolist()
    drafter = Drafter(np.array(text[:50], np.int32))
    assert max(read(drafter, text, 50)[-50:]) < 0.3


def test_tokens_teach_the_same_one_by_one_or_many_at_once() -> None:
    text = np.random.default_rng(2).integers(0, 4, 300).tolist()
    one, many = (Drafter(np.array(text[:10], np.int32)) for _ in range(2))
    read(one, text, 10)
    many.read(np.array(text, np.int32))
    assert one.chance == many.chance
    assert one.survival(7) == many.survival(7)
    assert one.propose(7) == many.propose(7)
