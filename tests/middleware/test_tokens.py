"""Tokens: the honest one is accepted, and each forged one, which differs from it in one thing, is refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import example, given
from hypothesis import strategies as st

from lift_dynamorm import UsageError
from lift_middleware.jwks import JWKS
from lift_middleware.tokens import InvalidToken, TokenVerifier
from tests.middleware.keys import AUDIENCE, ISSUER, SECRET, b64, claims, jwk, pem, private_key, public_key, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from lift_middleware.principals import Principal

EVERY = [*(f"{kind}{bits}" for kind in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)), "EdDSA"]


def verifier(algorithm: str = "RS256", **settings: Any) -> TokenVerifier:
    given: dict[str, Any] = {"algorithms": [algorithm], "issuer": ISSUER, "audience": AUDIENCE, "leeway": 0}
    keys = settings.pop("keys", public_key(algorithm))
    return TokenVerifier(keys, **(given | settings))


def verify(token: str, algorithm: str = "RS256", **settings: Any) -> Principal:
    return asyncio.run(verifier(algorithm, **settings).verify(token))


def accepted(token: str, algorithm: str = "RS256", **settings: Any) -> bool:
    try:
        verify(token, algorithm, **settings)
    except InvalidToken:
        return False
    return True


# -- honest ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", EVERY)
def test_every_algorithm(algorithm: str) -> None:
    found = verify(sign(algorithm=algorithm), algorithm)
    assert (found.subject, found.issuer, found.claim("tenant")) == ("ann", ISSUER, "acme")
    assert not accepted(sign(algorithm=algorithm, which=2), algorithm)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_keys_in_every_form(algorithm: str) -> None:
    id = {"kid": "k1"}
    for keys in (
        pem(algorithm),
        pem(algorithm).encode(),
        jwk(algorithm),
        [pem(algorithm, 2), public_key(algorithm)],
        {"k2": pem(algorithm, 2), "k1": pem(algorithm)},
        {"k1": jwk(algorithm)},
        {"keys": [jwk(algorithm, kid="k1"), jwk(algorithm, 2, kid="k2")]},
    ):
        assert accepted(sign(algorithm=algorithm, header=id), algorithm, keys=keys)
        assert not accepted(sign(algorithm=algorithm, which=3, header=id), algorithm, keys=keys)


def test_scopes_and_roles_in_the_forms_that_issuers_give_them() -> None:
    found = verify(sign(claims(scope="a b  c", roles=["x", "y"])))
    assert (found.scopes, found.roles) == (frozenset("abc"), frozenset("xy"))
    token = sign(claims(scp=["a b", "c"], realm_access={"roles": "x y"}))
    found = verify(token, scopes="scp", roles=("realm_access", "roles"))
    assert (found.scopes, found.roles) == (frozenset({"a b", "c"}), frozenset({"x y"}))


@pytest.mark.parametrize("nonsense", [None, 1, {"a": 1}, [1, None, ["a"], ""], "", True])
def test_what_is_no_scope_grants_nothing(nonsense: Any) -> None:
    found = verify(sign(claims(scope=nonsense, roles=nonsense)))
    assert (found.scopes, found.roles) == (frozenset(), frozenset())


def test_a_principal_does_not_print_its_claims() -> None:
    found = verify(sign(claims(email="ann@example.com")))
    assert "ann@example.com" not in repr(found)
    assert found.claim("email") == "ann@example.com"
    assert isinstance(hash(found), int)
    with pytest.raises(TypeError):
        found.claims["email"] = "other"  # type: ignore[index]


# -- forged ------------------------------------------------------------------------------------------------------------


def none(alg: str) -> str:
    return f"{b64(json.dumps({'typ': 'JWT', 'alg': alg}))}.{b64(json.dumps(claims()))}."


def by_hand(alg: str, secret: bytes) -> str:
    """A token whose HMAC is made with a public key, which libraries refuse to do."""
    signed = f"{b64(json.dumps({'typ': 'JWT', 'alg': alg}))}.{b64(json.dumps(claims()))}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def tampered(**changed: Any) -> str:
    head, _, signature = sign().split(".")
    return f"{head}.{b64(json.dumps(claims(**changed)))}.{signature}"


def other_bits() -> str:
    """The same signature in other letters: the last one has bits that no byte takes."""
    token = sign()
    assert len(token.rpartition(".")[2]) % 4
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + letters[letters.index(token[-1]) ^ 1]


NOW = time.time()
FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: none("none"),
    "alg None": lambda: none("None"),
    "alg nOnE": lambda: none("nOnE"),
    "alg none with the signature of another": lambda: none("none") + sign().rpartition(".")[2],
    "alg empty": lambda: sign(header={"alg": ""}),
    "no alg": lambda: sign(header={"alg": ...}),
    "alg null": lambda: sign(header={"alg": None}),
    "alg list": lambda: sign(header={"alg": ["RS256"]}),
    "HMAC with the public key": lambda: by_hand("HS256", pem("RS256").encode()),
    "HMAC with the public key, without its end": lambda: by_hand("HS256", pem("RS256").strip().encode()),
    "HMAC with the public key, said to be RS256": lambda: by_hand("RS256", pem("RS256").encode()),
    "another hash": lambda: sign(algorithm="RS512"),
    "another hash, said to be ours": lambda: sign(signed_as="RS512"),
    "another padding, said to be ours": lambda: sign(signed_as="PS256"),
    "another kind of key": lambda: sign(algorithm="ES256"),
    "another's key": lambda: sign(which=2),
    "another's key, in the header": lambda: sign(which=2, header={"jwk": jwk("RS256", 2)}),
    "another's key, by jku": lambda: sign(which=2, header={"jku": "https://evil.example/jwks.json", "kid": "1"}),
    "another's key, by x5u": lambda: sign(which=2, header={"x5u": "https://evil.example/cert.pem"}),
    "our key, and jku": lambda: sign(header={"jku": "https://evil.example/jwks.json"}),
    "our key, and x5u": lambda: sign(header={"x5u": "https://evil.example/cert.pem"}),
    "our key, and jwk": lambda: sign(header={"jwk": jwk("RS256")}),
    "our key, and x5c": lambda: sign(header={"x5c": ["MIIB"]}),
    "crit": lambda: sign(header={"crit": ["exp"]}),
    "crit, of what it has": lambda: sign(header={"crit": ["urn:example"], "urn:example": 1}),
    "crit, empty": lambda: sign(header={"crit": []}),
    "b64": lambda: sign(header={"b64": False, "crit": ["b64"]}),
    "zip": lambda: sign(header={"zip": "DEF"}),
    "kid a number": lambda: sign(header={"kid": 1}),
    "kid a list": lambda: sign(header={"kid": ["k1"]}),
    "kid an object": lambda: sign(header={"kid": {"$ne": ""}}),
    "kid a path, another's key": lambda: sign(which=2, header={"kid": "../../dev/null"}),
    "kid a query, another's key": lambda: sign(which=2, header={"kid": "' UNION SELECT 'key"}),
    "typ of another kind": lambda: sign(header={"typ": "logout+jwt"}),
    "typ a list": lambda: sign(header={"typ": ["JWT"]}),
    "typ null": lambda: sign(header={"typ": None}),
    "a name twice in the header": lambda: sign(raw_header='{"alg":"none","typ":"JWT","alg":"RS256"}'),
    "a name twice in the claims": lambda: sign(json.dumps(claims())[:-1] + ',"sub":"root"}'),
    "header no object": lambda: sign(raw_header='["RS256"]'),
    "header no JSON": lambda: sign(raw_header="RS256"),
    "header too deep": lambda: sign(raw_header="[" * 9000),
    "claims no object": lambda: sign('"ann"'),
    "claims no JSON": lambda: sign("ann"),
    "claims not UTF-8": lambda: sign().split(".")[0] + "." + b64(b"\xff{}") + "." + sign().split(".")[2],
    "no exp": lambda: sign(claims(exp=...)),
    "exp over": lambda: sign(claims(exp=int(NOW) - 1)),
    "exp null": lambda: sign(claims(exp=None)),
    "exp a text": lambda: sign(claims(exp=str(int(NOW) + 600))),
    "exp true": lambda: sign(claims(exp=True)),
    "exp infinite": lambda: sign(json.dumps(claims(exp=float("inf")))),
    "exp beyond every float": lambda: sign(json.dumps(claims(exp=0))[:-1].replace('"exp": 0', '"exp": 1e999') + "}"),
    "exp NaN": lambda: sign(json.dumps(claims(exp=float("nan")))),
    "nbf in the future": lambda: sign(claims(nbf=int(NOW) + 86_400)),
    "nbf true": lambda: sign(claims(nbf=True)),
    "nbf a text": lambda: sign(claims(nbf="0")),
    "iat in the future": lambda: sign(claims(iat=int(NOW) + 86_400)),
    "iat null": lambda: sign(claims(iat=None)),
    "no sub": lambda: sign(claims(sub=...)),
    "sub empty": lambda: sign(claims(sub="")),
    "sub a number": lambda: sign(claims(sub=1)),
    "sub a list": lambda: sign(claims(sub=["ann"])),
    "no iss": lambda: sign(claims(iss=...)),
    "another iss": lambda: sign(claims(iss="https://evil.example")),
    "iss a list": lambda: sign(claims(iss=[ISSUER])),
    "iss with an end": lambda: sign(claims(iss=f"{ISSUER}.evil.example")),
    "iss a part of ours": lambda: sign(claims(iss="https://")),
    "no aud": lambda: sign(claims(aud=...)),
    "another aud": lambda: sign(claims(aud="https://other.example")),
    "aud a part of ours": lambda: sign(claims(aud="https://")),
    "aud empty": lambda: sign(claims(aud=[])),
    "aud of other things": lambda: sign(claims(aud=[1, None, [AUDIENCE]])),
    "aud an object": lambda: sign(claims(aud={AUDIENCE: 1})),
    "tampered": lambda: tampered(sub="root"),
    "signature cut off": lambda: sign().rpartition(".")[0] + ".",
    "signature left out": lambda: sign().rpartition(".")[0],
    "signature of zeros": lambda: sign().rpartition(".")[0] + "." + b64(bytes(256)),
    "signature in other letters": other_bits,
    "a part too many": lambda: sign() + ".e30",
    "five parts": lambda: "e30.e30.e30.e30.e30",
    "padding": lambda: sign() + "=",
    "a space": lambda: " " + sign(),
    "a line's end": lambda: sign() + "\n",
    "letters of other alphabets": lambda: sign().replace(".", "\N{ONE DOT LEADER}"),
    "too long": lambda: sign(claims(more="x" * 20_000)),
    "nothing": lambda: "",
}


@pytest.mark.parametrize("attack", FORGED)
def test_a_forged_token_is_refused(attack: str) -> None:
    assert accepted(sign())
    assert not accepted(FORGED[attack]())


REASONS = {
    "crit": "its header has crit",
    "b64": "its header has crit",
    "kid a number": "its kid is not a text",
    "no exp": "it has no exp",
    "exp true": "its exp is no number",
    "alg none with the signature of another": "its alg is none of algorithms=",
}


@pytest.mark.parametrize("attack", REASONS)
def test_it_is_refused_here_and_not_only_by_what_stands_below(attack: str) -> None:
    with pytest.raises(InvalidToken, match=REASONS[attack]) as caught:
        verify(FORGED[attack]())
    assert not caught.value.expired


def test_b64_is_refused_without_crit_too() -> None:
    with pytest.raises(InvalidToken, match="its header has b64"):
        verify(sign(header={"b64": True}))


CONTROLS: dict[str, Callable[[], str]] = {
    "another hash": lambda: sign(),
    "kid": lambda: sign(header={"kid": "k1"}),
    "kid a path, our key": lambda: sign(header={"kid": "../../dev/null"}),
    "typ in small letters": lambda: sign(header={"typ": "jwt"}),
    "no typ": lambda: sign(header={"typ": ...}),
    "typ of an access token": lambda: sign(header={"typ": "at+jwt"}),
    "typ in full": lambda: sign(header={"typ": "application/at+jwt"}),
    "the thumbprint of a certificate": lambda: sign(header={"x5t": "abc"}),
    "other header parameters": lambda: sign(header={"cty": "x"}),
    "exp with a fraction": lambda: sign(claims(exp=time.time() + 60.5)),
    "exp far away": lambda: sign(claims(exp=10**400)),
    "nbf": lambda: sign(claims(nbf=int(NOW) - 300)),
    "no iat": lambda: sign(claims(iat=...)),
    "aud among others": lambda: sign(claims(aud=["https://other.example", AUDIENCE])),
    "long": lambda: sign(claims(more="x" * 5_000)),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_what_only_looks_odd_is_accepted(control: str) -> None:
    assert accepted(CONTROLS[control]())


@pytest.mark.parametrize("algorithm", EVERY)
@pytest.mark.parametrize("said", EVERY)
def test_no_algorithm_passes_for_another(algorithm: str, said: str) -> None:
    """The signature of one algorithm, in a token that says another, held against keys for both."""
    token = sign(algorithm=said, signed_as=algorithm, key=private_key(algorithm))
    for expected in {algorithm, said}:
        assert accepted(token, expected) == (algorithm == said)


def test_a_key_serves_its_own_algorithm_only() -> None:
    """ES256 and RS256 are both allowed, and each key verifies one of them; a JWK may say even less."""
    both: dict[str, Any] = {"keys": [pem("RS256"), pem("ES256")], "algorithms": ["RS256", "ES256"]}
    assert accepted(sign(), **both)
    assert accepted(sign(algorithm="ES256"), **both)
    narrow: dict[str, Any] = {"keys": [jwk("RS256", alg="PS256"), jwk("RS256", 2)], "algorithms": ["RS256", "PS256"]}
    assert accepted(sign(algorithm="PS256"), **narrow)
    assert not accepted(sign(), **narrow)
    assert accepted(sign(which=2), **narrow)


def test_a_secret_of_another_length_is_another_secret() -> None:
    token = sign(algorithm="HS256", key=SECRET + "\0")
    assert not accepted(token, "HS256")  # HMAC pads with zeros, but only up to a block
    assert accepted(sign(algorithm="HS256"), "HS256")


def test_leeway() -> None:
    for changed in ({"exp": int(time.time()) - 20}, {"nbf": int(time.time()) + 20}, {"iat": int(time.time()) + 20}):
        assert accepted(sign(claims(**changed)), leeway=30)
        assert not accepted(sign(claims(**changed)), leeway=10)


def test_none_for_an_audience_is_none() -> None:
    assert accepted(sign(claims(aud=...)), audience=None)
    assert accepted(sign(claims(aud=None)), audience=None)
    for audience in (AUDIENCE, [], "", [AUDIENCE]):
        assert not accepted(sign(claims(aud=audience)), audience=None)


def test_several_issuers_and_audiences() -> None:
    several: dict[str, Any] = {"issuer": [ISSUER, "b"], "audience": ["x", AUDIENCE]}
    assert accepted(sign(), **several)
    assert accepted(sign(claims(iss="b", aud="x")), **several)
    assert not accepted(sign(claims(iss="x", aud="b")), **several)
    assert accepted(sign(claims(iss="anybody")), issuer=None)


def test_only_access_tokens() -> None:
    assert accepted(sign(header={"typ": "at+jwt"}), types=["at+jwt"])
    assert not accepted(sign(), types=["at+jwt"])
    assert not accepted(sign(header={"typ": ...}), types=["at+jwt"])


@pytest.mark.parametrize("value", ["id", None, True, 1, ["access"]])
def test_further_claims(value: Any) -> None:
    wanted = {"token_use": "access"}
    assert accepted(sign(claims(token_use="access")), claims=wanted)
    assert not accepted(sign(claims(token_use=value)), claims=wanted)
    assert not accepted(sign(), claims=wanted)
    assert not accepted(sign(claims(verified=1)), claims={"verified": True})


def test_a_kid_chooses_a_key_and_proves_nothing() -> None:
    keys = {"old": pem("RS256"), "new": pem("RS256", 2)}
    assert accepted(sign(header={"kid": "old"}), keys=keys)
    assert accepted(sign(which=2, header={"kid": "new"}), keys=keys)
    assert not accepted(sign(header={"kid": "new"}), keys=keys)
    assert not accepted(sign(header={"kid": "other"}), keys=keys)
    assert not accepted(sign(), keys=keys)


@given(st.text(), st.binary())
@example(".", b".")
def test_no_text_breaks_it(text: str, raw: bytes) -> None:
    head, body, signature = sign().split(".")
    for token in (text, f"{text}.{body}.{signature}", f"{head}.{body}.{text}", f"{head}.{b64(raw)}.{b64(raw)}"):
        assert not accepted(token)


@given(st.binary(max_size=600))
def test_no_signature_but_the_right_one(signature: bytes) -> None:
    for algorithm in ("RS256", "PS256", "ES256", "EdDSA", "HS256"):
        head, body, right = sign(algorithm=algorithm).split(".")
        if signature != urlsafe_b64decode(right + "=="):
            assert not accepted(f"{head}.{body}.{b64(signature) or 'AA'}", algorithm)


# -- settings that cannot be right -------------------------------------------------------------------------------------

WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no algorithms": ({"algorithms": []}, "algorithms="),
    "algorithms as a text": ({"algorithms": "RS256"}, "a list"),
    "none": ({"algorithms": ["none"]}, "'none'"),
    "unknown": ({"algorithms": ["RS256", "ES256K"]}, "'ES256K'"),
    "secrets and public keys": ({"algorithms": ["RS256", "HS256"], "keys": [pem("RS256"), SECRET]}, "mixes"),
    "a public key as a secret": ({"algorithms": ["HS256"]}, "holds a key for"),
    "a public key as a secret, in PEM": ({"algorithms": ["HS256"], "keys": pem("RS256")}, "holds a key for"),
    "a secret as a public key": ({"keys": SECRET}, "holds a key for HS256"),
    "a curve that does not fit": ({"algorithms": ["ES256"], "keys": pem("ES384")}, "holds a key for ES384"),
    "an algorithm without a key": ({"algorithms": ["RS256", "ES256"]}, "no key for it"),
    "no keys": ({"keys": []}, "no key"),
    "a short secret": ({"algorithms": ["HS256"], "keys": "secret"}, "32 bytes"),
    "a secret too short for HS512": ({"algorithms": ["HS512"], "keys": "x" * 63}, "holds a key for HS256, HS384"),
    "a small RSA key": ({"keys": WEAK_RSA}, "2048 bits"),
    "another curve": ({"keys": ec.generate_private_key(ec.SECP256K1()).public_key()}, "no key to verify"),
    "a private key": ({"keys": private_key("RS256")}, "no key to verify"),
    "a private key in PEM": (
        {"keys": "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"},
        "the public one",
    ),
    "a certificate": ({"keys": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"}, "openssl x509"),
    "a private JWK": ({"keys": jwk("RS256", d="AQ")}, "no `d`"),
    "a JWK to encrypt with": ({"keys": jwk("RS256", use="enc")}, "`use` sig"),
    "a JWK that does not verify": ({"keys": jwk("RS256", key_ops=["sign"])}, "verify among"),
    "a JWK of another algorithm": ({"keys": jwk("RS256", alg="ES256")}, "cannot be read|does not fit"),
    "a broken JWK": ({"keys": {"kty": "RSA", "n": 1}}, "cannot be read"),
    "an object": ({"keys": object()}, "no key to verify"),
    "leeway": ({"leeway": -1}, "leeway="),
    "leeway of hours": ({"leeway": 7200}, "leeway="),
    "an empty issuer": ({"issuer": ""}, "issuer="),
    "no issuers": ({"issuer": []}, "issuer="),
    "an empty audience": ({"audience": [""]}, "audience="),
    "no types": ({"types": []}, "types="),
    "secrets from a URL": ({"algorithms": ["HS256"], "keys": JWKS("https://issuer.example/jwks")}, "are public"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_settings_that_cannot_be_right(wrong: str) -> None:
    settings, message = WRONG[wrong]
    with pytest.raises(UsageError, match=message):
        verifier(**settings)


@pytest.mark.parametrize("left_out", ["algorithms", "issuer", "audience"])
def test_what_must_be_said(left_out: str) -> None:
    settings: dict[str, Any] = {"algorithms": ["RS256"], "issuer": ISSUER, "audience": AUDIENCE}
    del settings[left_out]
    with pytest.raises(TypeError, match=left_out):
        TokenVerifier(pem("RS256"), **settings)


def test_no_error_holds_the_token_or_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for forged in FORGED.values():
        token = forged()
        if len(token) > 20:
            with pytest.raises(InvalidToken) as caught:
                verify(token)
            assert token[:20] not in str(caught.value)
            assert token[:20] not in caplog.text
    assert SECRET not in repr(verifier("HS256").__dict__)
