"""API keys: where they come from, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from foreknown.errors import RequestError
from foreknown.server.keys import ENVIRONMENT, Keys, read_keys


def test_a_key_has_a_name() -> None:
    keys = Keys({"ann": "secret-of-ann", "bob": "secret-of-bob"})
    assert keys
    assert keys.name_of("secret-of-bob") == "bob"
    assert keys.name_of("secret-of-bo") is None
    assert keys.name_of("") is None
    assert not Keys({})


def test_keys_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# people\nann secret-of-ann\n\n bob\tsecret-of-bob \n")
    file.chmod(0o600)
    keys = read_keys(file, {ENVIRONMENT: "eve secret-of-eve"})
    assert keys.name_of("secret-of-ann") == "ann"
    assert keys.name_of("secret-of-eve") is None, "a file takes the place of the environment"


def test_keys_of_the_environment() -> None:
    keys = read_keys(None, {ENVIRONMENT: "ann secret-of-ann, bob secret-of-bob"})
    assert keys.name_of("secret-of-bob") == "bob"
    assert not read_keys(None, {})


@pytest.mark.parametrize(
    "text", ["ann", "ann short", "ann secret-1 more", "a secret-1\na secret-2"]
)
def test_entries_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(RequestError, match="of the API keys") as caught:
        read_keys(None, {ENVIRONMENT: text})
    assert "secret-1" not in str(caught.value), "a key is in no message"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("ann secret-of-ann\n")
    file.chmod(0o644)
    with pytest.raises(RequestError, match="read by everybody"):
        read_keys(file)
    with pytest.raises(RequestError, match="cannot be read"):
        read_keys(tmp_path / "none")
