"""What an environment check sees of a real store: credentials pending, valid or refused, and the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from interlock.clients.store_look import look_at_store
from interlock.clients.store_settings import StoreSettings
from interlock.environment.check import Unseen
from interlock.environment.store import collection, judge_store
from tests.clients.real_parts import WRITER, secret_of
from tests.clients.small_server import Handler, serving

CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")


@pytest.fixture
def writer(store_settings: StoreSettings) -> StoreSettings:
    return replace(store_settings, access_key=WRITER, secret_key=secret_of(WRITER))


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")


def test_valid_credentials_and_a_fit_bucket_mean_worm(writer: StoreSettings) -> None:
    facts = look_at_store("store", writer)
    assert (facts.credentials, facts.fit, collection(facts)) == ("valid", "", "worm")
    assert [check for check in judge_store(facts, "require") if check.blocks] == []
    assert secret_of(WRITER) not in repr(facts)


@pytest.mark.parametrize("wrong", [{"access_key": "nobody"}, {"secret_key": "another"}])
def test_credentials_that_the_store_refuses_mean_temporary(
    writer: StoreSettings, wrong: dict[str, str]
) -> None:
    facts = look_at_store("store", replace(writer, **wrong))  # type: ignore[arg-type]
    assert (facts.credentials, collection(facts)) == ("refused", "temporary")
    assert "refused" in facts.said


@pytest.mark.usefixtures("no_credentials")
def test_credentials_that_nobody_gave_are_pending() -> None:
    facts = look_at_store("store", StoreSettings("evidence", endpoint_url="http://127.0.0.1:1"))
    assert (facts.credentials, collection(facts)) == ("pending", "temporary")


@pytest.mark.parametrize(
    ("bucket", "said"),
    [("plain", "made without Object Lock"), ("nowhere-at-all", "it doesn't exist")],
)
def test_a_bucket_that_cant_lock_means_temporary(
    store_settings: StoreSettings, bucket: str, said: str
) -> None:
    facts = look_at_store("store", replace(store_settings, bucket=bucket))
    assert (facts.credentials, collection(facts)) == ("valid", "temporary")
    assert isinstance(facts.fit, str)
    assert said in facts.fit


def test_a_store_that_is_away_is_not_checked() -> None:
    settings = StoreSettings("evidence", "key", "secret", "http://127.0.0.1:1", timeout=1.0)
    facts = look_at_store("store", settings)
    assert isinstance(facts.credentials, Unseen)
    assert [check.status for check in judge_store(facts, "require")] == ["not-checked", "finding"]


@pytest.fixture
def region_teller() -> Iterator[str]:
    """A server that answers a bucket's head as Amazon does, with its region."""

    class Region(Handler):
        def do_HEAD(self) -> None:
            self.send(200, x_amz_bucket_region="eu-west-1")

        def do_GET(self) -> None:
            self.send(403)

    with serving(Region) as address:
        yield address


def test_the_buckets_region_is_told_and_a_bucket_that_may_not_be_seen_is_unseen(region_teller: str) -> None:
    facts = look_at_store("store", StoreSettings("evidence", "key", "secret", region_teller))
    assert (facts.region, facts.found_region) == ("us-east-1", "eu-west-1")
    assert isinstance(facts.fit, Unseen)
    assert collection(facts) == "temporary"


IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>{}</Arn><UserId>AIDA</UserId><Account>123456789012</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>"""
REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{}</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>"""
USER, ROOT = "arn:aws:iam::123456789012:user/writer", "arn:aws:iam::123456789012:root"


@pytest.mark.parametrize(
    ("head", "sts", "credentials", "identity"),
    [
        (200, (200, IDENTITY.format(USER)), "valid", USER),
        (200, (200, IDENTITY.format(ROOT)), "valid", ROOT),
        (403, (200, IDENTITY.format(USER)), "valid", USER),
        (403, (403, REFUSAL.format("InvalidClientTokenId")), "refused", "InvalidClientTokenId"),
        (400, (403, REFUSAL.format("ExpiredToken")), "refused", "ExpiredToken"),
        (403, (503, ""), "refused", "STS GetCallerIdentity"),
    ],
)
def test_amazon_tells_whose_credentials_these_are(
    monkeypatch: pytest.MonkeyPatch, head: int, sts: tuple[int, str], credentials: str, identity: str
) -> None:
    class Amazon(Handler):
        """S3, which refuses a bucket's head without a word, and STS, as their documents say."""

        def do_HEAD(self) -> None:
            self.send(head)

        def do_GET(self) -> None:
            self.send(403)

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"])).decode()
            assert "Action=GetCallerIdentity" in asked
            self.send(sts[0], sts[1], content_type="text/xml")

    with serving(Amazon) as address:
        for service in ("S3", "STS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", address.replace("127.0.0.1", "localhost"))
        facts = look_at_store("store", StoreSettings("evidence", "key", "secret"))
    assert facts.credentials == credentials
    told = facts.identity.why if isinstance(facts.identity, Unseen) else facts.identity
    assert identity in told
    assert collection(facts) == "temporary"
    blocking = {check.code for check in judge_store(facts, "require") if check.blocks}
    assert ("store.credentials" in blocking) is (credentials == "refused")
    assert ("store.identity" in blocking) is (identity == ROOT)
    assert ("store.bucket" in blocking) is (credentials == "valid")
