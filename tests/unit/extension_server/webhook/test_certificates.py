from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from extension_server.webhook import certificates
from extension_server.webhook.certificates import (
    AUTHORITY_LIFE,
    AUTHORITY_RENEWAL,
    LEAF_LIFE,
    LEAF_RENEWAL,
    NEXT_AUTHORITY,
    OVERLAP,
    Names,
    Unusable,
)
from tests.support.cert_manager import issued

START = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS = certificates.service_names("controller", "aigw")
NAMES = Names()


def renewed(data: dict[str, bytes], now: datetime) -> dict[str, bytes]:
    return certificates.renewed(data, NAMES, HOSTS, now) or data


def leaf(data: dict[str, bytes]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(data["tls.crt"])


def authorities(data: dict[str, bytes]) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(data["ca.crt"])


def is_trusted(data: dict[str, bytes], by: dict[str, bytes], now: datetime) -> bool:
    """As a client does it that knows `by`."""
    store = x509.verification.Store(authorities(by))
    verifier = x509.verification.PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(HOSTS[0]))
    try:
        verifier.verify(leaf(data), [])
    except x509.verification.VerificationError:
        return False
    return True


def test_out_of_nothing_comes_a_certificate_that_clients_of_its_authority_trust() -> None:
    data = renewed({}, START)
    assert certificates.read(data, NAMES).expires() == START + LEAF_LIFE
    assert is_trusted(data, data, START)
    said = leaf(data).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(said.get_values_for_type(x509.DNSName)) == HOSTS


def test_what_holds_is_left_alone() -> None:
    data = renewed({}, START)
    assert certificates.renewed(data, NAMES, HOSTS, START) is None
    assert certificates.renewed(data, NAMES, HOSTS, START + LEAF_LIFE - LEAF_RENEWAL - timedelta(hours=1)) is None


def test_the_leaf_is_renewed_a_month_before_its_end_under_the_same_authority() -> None:
    data = renewed({}, START)
    later = START + LEAF_LIFE - LEAF_RENEWAL
    after = renewed(data, later)
    assert after["tls.crt"] != data["tls.crt"]
    assert after["ca.crt"] == data["ca.crt"]
    assert is_trusted(after, data, later)


def test_a_new_name_gets_a_new_leaf() -> None:
    data = renewed({}, START)
    hosts = certificates.service_names("controller", "other")
    after = certificates.renewed(data, NAMES, hosts, START)
    assert after is not None
    assert after["ca.crt"] == data["ca.crt"]


def test_a_new_authority_is_trusted_before_it_signs_and_the_old_one_after() -> None:
    before = START + AUTHORITY_LIFE - AUTHORITY_RENEWAL - timedelta(days=1)
    old = renewed(renewed({}, START), before)
    due = before + timedelta(days=2)
    both = renewed(old, due)
    assert len(authorities(both)) == 2
    assert both["tls.crt"] == old["tls.crt"]
    early = renewed(both, due + OVERLAP / 2)
    assert early == both
    late = due + OVERLAP + timedelta(minutes=10)
    new = renewed(both, late)
    assert NEXT_AUTHORITY not in new
    assert is_trusted(new, both, late)
    assert is_trusted(both, new, late)
    assert not is_trusted(new, old, late)


@settings(deadline=None)  # keys are made, on whatever machine
@given(st.lists(st.integers(1, 400), max_size=40))
def test_whenever_it_is_looked_at_those_who_looked_the_day_before_trust_it(days: list[int]) -> None:
    now, data = START, renewed({}, START)
    for step in days:
        # Someone looks every day, or everything is new when the process comes back.
        for _ in range(min(step, 3)):
            now += timedelta(days=1)
            before, data = data, renewed(data, now)
            assert is_trusted(data, before, now)
        now += timedelta(days=step)
        data = renewed(data, now)
        assert is_trusted(data, data, now)
        assert authorities(data)[0].not_valid_after_utc > now


@pytest.mark.parametrize("key", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
@pytest.mark.parametrize("broken", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_secret_is_mended(key: str, broken: bytes) -> None:
    data = renewed({**renewed({}, START), key: broken}, START)
    assert is_trusted(data, data, START)


def test_a_key_of_another_certificate_is_noticed() -> None:
    data = {**renewed({}, START), "tls.key": renewed({}, START)["tls.key"]}
    with pytest.raises(Unusable, match=r"tls\.key does not belong to tls\.crt"):
        certificates.read(data, NAMES)
    with pytest.raises(Unusable, match=r"has no ca\.crt"):
        certificates.read({}, NAMES)


def test_no_key_is_shown() -> None:
    assert "PRIVATE" not in repr(certificates.read(renewed({}, START), NAMES))


# ---- what somebody else has put into the Secret, without the authority's key


def others(life: timedelta = LEAF_LIFE, hosts: Sequence[str] = HOSTS) -> dict[str, bytes]:
    return issued(hosts, START, life)


def test_a_leaf_of_others_is_served_until_an_authority_of_ours_is_known() -> None:
    theirs = others()
    begun = renewed(theirs, START)
    assert (begun["tls.crt"], begun["tls.key"]) == (theirs["tls.crt"], theirs["tls.key"])
    assert authorities(begun)[:1] == authorities(theirs)
    assert len(authorities(begun)) == 2
    assert renewed(begun, START + OVERLAP / 2) == begun
    ours = renewed(begun, START + OVERLAP)
    assert set(ours) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
    assert leaf(ours).issuer != leaf(theirs).issuer
    assert is_trusted(ours, begun, START + OVERLAP)
    assert is_trusted(begun, ours, START + OVERLAP)
    assert renewed(ours, START + OVERLAP) == ours


def test_nobody_who_looked_the_day_before_is_surprised_when_ours_follow_those_of_others() -> None:
    now, data = START, renewed(others(), START)
    for _ in range(200):
        before, now = data, now + timedelta(days=1)
        data = renewed(data, now)
        assert is_trusted(data, before, now)


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param(others(life=OVERLAP), id="ends too soon"),
        pytest.param(others(hosts=("somewhere.else",)), id="for another name"),
        pytest.param({**others(), "ca.crt": others()["ca.crt"]}, id="of an authority that is not there"),
        pytest.param({**others(), "tls.key": others()["tls.key"]}, id="without its key"),
    ],
)
def test_a_leaf_of_others_that_nobody_can_use_so_long_is_replaced_at_once(theirs: dict[str, bytes]) -> None:
    data = renewed(theirs, START)
    assert set(data) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
    assert is_trusted(data, data, START)


def test_keys_of_ours_that_others_have_written_over_are_not_taken_for_theirs() -> None:
    day = START + AUTHORITY_LIFE - AUTHORITY_RENEWAL + timedelta(days=1)
    rotating = renewed(renewed({}, START), day)
    assert NEXT_AUTHORITY in rotating
    data = renewed({**rotating, **others(life=AUTHORITY_LIFE)}, day)
    assert "ca.key" not in data
    # One that was never trusted does not follow.
    assert data[NEXT_AUTHORITY] != rotating[NEXT_AUTHORITY]
    assert len(authorities(data)) == 2
