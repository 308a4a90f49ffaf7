"""Verifies a token a line with PyJWT and joserfc, as strictly as each of them can be told to, and writes a line of
verdicts: null for accepted, else why not."""

import datetime
import json
import sys
import warnings

import jwt
import jwt.api_jwt
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import import_key
from joserfc.jws import JWSRegistry

# joserfc says that EdDSA is an old name.
warnings.simplefilter("ignore")

ESSENTIAL = ["iss", "aud", "exp", "sub", "client_id", "iat", "jti"]
keys = {}


class Clock(datetime.datetime):
    """The clock that PyJWT reads; it has no argument for the time."""

    at = 0

    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(cls.at, tz)


jwt.api_jwt.datetime = Clock


def with_pyjwt(key, question):
    try:
        jwt.decode(
            question["token"],
            key,
            algorithms=[question["alg"]],
            issuer=question["issuer"],
            audience=question["audience"],
            leeway=0,
            options={"require": ESSENTIAL},
        )
        return None
    except jwt.PyJWTError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # a peer that falls over has not accepted
        return f"crash {type(error).__name__}: {error}"


def with_joserfc(key, question):
    try:
        registry = JWSRegistry(algorithms=[question["alg"]], strict_check_header=False)
        token = joserfc_jwt.decode(question["token"], key, algorithms=[question["alg"]], registry=registry)
        typ = str(token.header.get("typ", "")).lower()
        if typ.removeprefix("application/") != "at+jwt":
            return "typ"
        claims = {name: {"essential": True} for name in ESSENTIAL}
        claims["iss"]["value"] = question["issuer"]
        claims["aud"]["value"] = question["audience"]
        joserfc_jwt.JWTClaimsRegistry(now=question["now"], leeway=0, **claims).validate(token.claims)
        return None
    except Exception as error:  # its errors have no common ancestor that covers bad input
        return f"{type(error).__name__}: {error}"


for line in sys.stdin:
    question = json.loads(line)
    name = json.dumps(question["jwk"], sort_keys=True)
    if name not in keys:
        keys[name] = (jwt.PyJWK(question["jwk"], question["alg"]), import_key(question["jwk"]))
    pyjwt_key, joserfc_key = keys[name]
    Clock.at = question["now"]
    verdict = {
        "PyPI PyJWT": with_pyjwt(pyjwt_key, question),
        "PyPI joserfc": with_joserfc(joserfc_key, question),
    }
    # A message may quote half a character, which is no JSON for everybody.
    text = {peer: why and why.encode("utf-8", "replace").decode() for peer, why in verdict.items()}
    sys.stdout.write(json.dumps(text) + "\n")
sys.stdout.flush()
