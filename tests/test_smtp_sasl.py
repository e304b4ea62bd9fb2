"""PLAIN and LOGIN, decoded."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sasl import MECHANISMS, Credentials, Exchange
from mailstore.failure import PermanentFailure

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


@given(WORDS, WORDS, st.booleans())
def test_what_a_client_means_is_what_is_read(name: str, password: str, acting: bool) -> None:
    meant = Credentials(name=name, password=password)
    assert Exchange("PLAIN").respond(base64(f"{name if acting else ''}\0{name}\0{password}")) == meant
    login = Exchange("LOGIN")
    assert login.respond(base64(name)) is None
    assert login.respond(base64(password)) == meant


@given(
    st.sampled_from(sorted(MECHANISMS)), st.lists(st.one_of(st.text(), st.binary().map(b64encode).map(bytes.decode)))
)
def test_nothing_that_is_sent_makes_more_than_a_refusal(mechanism: str, responses: list[str]) -> None:
    exchange = Exchange(mechanism)
    for response in responses:
        try:
            if exchange.respond(response):
                return
        except PermanentFailure as failure:
            refused = failure
            break
    else:
        return
    assert refused.status in ("5.5.2", "5.7.0", "5.7.8")
    assert len(response) < 8 or response not in refused.text


@given(WORDS.filter(bool), WORDS, WORDS)
def test_nobody_acts_for_another(acting_as: str, name: str, password: str) -> None:
    if acting_as != name:
        with pytest.raises(PermanentFailure, match="acts for itself"):
            Exchange("PLAIN").respond(base64(f"{acting_as}\0{name}\0{password}"))


@pytest.mark.parametrize("response", ["YQ", "YQ=", "Y", "YQ==\n", "YQ==YQ==", " YQ==", "YQ-_", "\n", "é"])
def test_what_is_not_base64(response: str) -> None:
    with pytest.raises(PermanentFailure, match="not base64"):
        Exchange("LOGIN").respond(response)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials(name="ada", password="secret"))
