"""Our signatures beside botocore's: the same question, the same Authorization."""

from datetime import UTC, datetime
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from gslb.wire.credentials import Keys
from gslb.wire.sigv4 import sign

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
segment = st.text("abAZ09-._~ /+%&=é", max_size=12)
names = st.from_regex(r"[Xx]-[A-Za-z][a-z-]{0,8}", fullmatch=True)
values = st.text("abc  XYZ,;=\t0", max_size=20).map(str.strip)
secrets = st.text("abcXYZ+/012", min_size=1, max_size=40)


@given(
    method=st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "POST"]),
    scheme=st.sampled_from(["http", "https"]),
    host=st.sampled_from(["s3.example.com", "S3.example.com:9000", "[::1]:443", "h:80", "h:443"]),
    path=segment,
    query=st.lists(st.tuples(segment, segment), max_size=4),
    headers=st.dictionaries(names, values, max_size=4),
    keys=st.builds(Keys, secrets, secrets, st.none() | secrets),
)
def test_the_authorization_is_botocores(
    method: str,
    scheme: str,
    host: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    keys: Keys,
) -> None:
    headers = {name.lower(): value for name, value in headers.items()}
    pairs = "&".join(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in query)
    url = f"{scheme}://{host}/{quote(path, safe='/-_.~')}" + (f"?{pairs}" if query else "")
    request = AWSRequest(method, url, headers=dict(headers), data=b"")
    S3SigV4Auth(Credentials(keys.access, keys.secret, keys.token), "s3", "eu-1").add_auth(request)
    at = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = sign(method, url, headers, EMPTY, keys, "eu-1", at)

    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours["X-Amz-Date"] == request.headers["X-Amz-Date"]
    assert ours.get("X-Amz-Security-Token") == request.headers.get("X-Amz-Security-Token")


def test_an_unsigned_payload_is_said_so() -> None:
    keys, at = Keys("fake-access", "fake-secret"), datetime(2026, 1, 1, tzinfo=UTC)
    one = sign("PUT", "https://s3/b/k", {}, "UNSIGNED-PAYLOAD", keys, "eu-1", at)
    other = sign("PUT", "https://s3/b/k", {}, EMPTY, keys, "eu-1", at)
    assert one["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"
    assert one["Authorization"] != other["Authorization"]
